#!/usr/bin/perl
# t/900-flow.t - the whole gateway: policyd with DNS list, SPF and greylisting, two milters of different makers, stores behind it.
use strict;
use warnings;
use Gatepost::Process qw(wait_for);
use Test::More;

for my $needed (qw(redis-server opendkim openssl)) {
    plan skip_all => "no $needed" unless grep { -x "$_/$needed" } split(/:/, $ENV{PATH}), '/usr/sbin';
}
if (!eval { require Gatepost::Gateway; 1 }) {
    die $@ unless $@ =~ m{^Can.t locate (Mail|Net)/};
    plan skip_all => "no $1:: modules";
}
plan skip_all => 'no DKIM milter' unless -x Gatepost::Test::build() . '/libexec/gatepost/dkim';

my $gw = Gatepost::Gateway->new->start;
my ($mta, $sink) = ($gw->mta, $gw->sink);

subtest 'good mail arrives, with what was found out about it' => sub {
    my $text = $gw->message(from => 'news@good.test', to => 'bob@relay.test', subject => 'good', sign => 1);
    like $gw->send('192.0.2.10', 'news@good.test', 'bob@relay.test', $text), qr/^250 2\.0\.0 Ok: queued as \w+/, 'accepted';
    my $got = $sink->wait_message(qr/Subject: good/);
    ok $got, 'delivered' or return;
    my $head = $got->{content} =~ s/\r\n[ \t]+/ /gr;
    like $head, qr/^Received-SPF: pass .*client-ip=192\.0\.2\.10/m, 'SPF pass';
    like $head, qr/^Authentication-Results: mx\.gate\.test; dkim=pass .*header\.d=good\.test/m, 'DKIM pass';
    like $head, qr/^Authentication-Results: opendkim\.test;\s*dkim=pass/m, 'opendkim says the same';
    like $got->{content}, qr/\Q$text\E\z/, 'what the client sent is untouched below';
};

subtest 'refused before the content' => sub {
    my $text = $gw->message(from => 'x@spam.test', to => 'bob@relay.test', subject => 'refused');
    like $gw->send('192.0.2.66', 'x@spam.test', 'bob@relay.test', $text),
        qr/^554 5\.7\.1 Service unavailable; Client host \[192\.0\.2\.66\] blocked using bl\.test; listed for the show/, 'listed client';
    ok $mta->log_has(qr/NOQUEUE: reject: RCPT from \S+\[192\.0\.2\.66\]: 554 5\.7\.1 .*bl\.test.*; from=<x\@spam\.test> to=<bob\@relay\.test> proto=ESMTP/), 'logged';
    like $gw->send('198.51.100.7', 'ceo@bank.test', 'bob@relay.test', $text), qr/^550 5\.7\.23 .*SPF/, 'SPF fail';
    like $gw->send('192.0.2.10', 'news@good.test', 'bob@elsewhere.test', $text), qr/^554 5\.7\.1 .*Relay access denied/, 'no relay';
    is scalar(grep { $_->{content} =~ /Subject: refused/ } $sink->messages), 0, 'nothing of it is delivered';
};

subtest 'greylisting' => sub {
    my $text = $gw->message(from => 'new@fresh.test', to => 'bob@relay.test', subject => 'fresh');
    my @who = ('203.0.113.5', 'new@fresh.test', 'bob@relay.test', $text);
    like $gw->send(@who), qr/^450 4\.2\.0 .*Greylisted, try again in \d+ second/, 'first contact waits';
    like $gw->send(@who), qr/^450/, 'at once is too early';
    ok wait_for(sub { $gw->send(@who) =~ /^250/ }), 'later it passes';
    ok $sink->wait_message(qr/Subject: fresh/), 'and arrives';
    like $gw->send(@who), qr/^250/, 'the triplet is known';
};

subtest 'a broken signature' => sub {
    my $text = $gw->message(from => 'news@good.test', to => 'bob@relay.test', subject => 'altered', sign => 1, alter => { 'the content' => 'other content' });
    like $gw->send('192.0.2.10', 'news@good.test', 'bob@relay.test', $text), qr/^5\d\d 5\.7\.\d+ .*DKIM/i, 'refused, as dkim_on_fail says';
    ok $mta->log_has(qr/cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from \S+\[192\.0\.2\.10\]: 5\.7\.20 No passing DKIM/), 'logged';
    ok $mta->wait_empty, 'nothing is queued';
};

subtest 'a mailbox here, and a store that is down' => sub {
    my $text = $gw->message(from => 'news@good.test', to => 'joe@box.test', subject => 'box', sign => 1);
    like $gw->send('192.0.2.10', 'news@good.test', 'joe@box.test', $text), qr/^250/, 'accepted';
    ok wait_for(sub { grep { /Subject: box/ } $gw->in_box }), 'in the Maildir';
    like $gw->send('192.0.2.10', 'news@good.test', 'jim@box.test', $text), qr/^550 5\.1\.1 .*User unknown in virtual mailbox table/, 'no such mailbox';
    like $gw->send('192.0.2.10', 'news@good.test', 'bob@late.test', $text =~ s/Subject: box/Subject: late/r =~ s/^DKIM-Signature:.*?\n(?=\S)//sr), qr/^250/, 'accepted';
    ok $mta->log_has(qr/to=<bob\@late\.test>, .*status=deferred/), 'deferred while the store is down';
    ok wait_for(sub { $mta->queued('deferred') == 1 }), 'and waits';
    ok $gw->late_store->wait_message(qr/Subject: late/), 'delivered when it is up';
    ok $mta->wait_empty, 'the queue is empty';
};

$gw->stop;
done_testing;
