#!/usr/bin/perl
# t/109-transcripts.t - notify_classes: sessions with trouble of a kind that the postmaster wants to hear of are mailed to him, others are not.
use strict;
use warnings;
use Gatepost::Process qw(free_port);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new;
my ($quiet, $short) = map { free_port() } 1 .. 2;
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => {
    notify_classes => 'policy, protocol, software', error_notice_recipient => 'errors@relay.test',
}, master_cf => <<"EOF")->start;
127.0.0.1:$quiet inet n - n - - smtpd
  -o notify_classes=resource
127.0.0.1:$short inet n - n - - smtpd
  -o smtpd_history_flush_threshold=4
EOF

sub notices { return grep { "@{ $_->{rcpt} }" =~ /errors\@relay\.test/ } $sink->messages }

subtest 'policy' => sub {
    my $c = $mta->smtp;
    $c->say('AUTH PLAIN c2VjcmV0'); # refused; but the secret was said
    $c->say('MAIL FROM:<ann@a.test>');
    like $c->say('RCPT TO:<bob@elsewhere.test>'), qr/^554/, 'refused';
    $c->quit;
    my $got = $sink->wait_message(qr/RCPT TO:<bob\@elsewhere\.test>/) or return fail 'told';
    like $got->{mail}, qr/^<double-bounce\@mx\.gate\.test>/, 'nobody is told when that fails';
    like $got->{rcpt}[0], qr/^<errors\@relay\.test>/, 'to the one who wants to know';
    like $got->{content}, qr/^Subject: \S+ SMTP server: errors from unknown\[127\.0\.0\.1\]\r$/m, 'subject';
    like $got->{content}, qr/^ Out: 220 .*^ In:  EHLO client\.test\r\n Out: 250-.*^ In:  RCPT TO:<bob\@elsewhere\.test>\r\n Out: 554 5\.7\.1 .*^ In:  QUIT\r\n Out: 221/ms,
        'the whole dialogue';
    unlike $got->{content}, qr/c2VjcmV0/, 'but the secret';
    like $got->{content}, qr/ In:  AUTH PLAIN \(hidden\)/, 'is hidden';
};

subtest 'protocol' => sub {
    my $c = $mta->smtp;
    $c->say("NONSENSE \e[2J\x80");
    $c->quit;
    my $got = $sink->wait_message(qr/NONSENSE/) or return fail 'told';
    like $got->{content}, qr/ In:  NONSENSE \?\[2J/, 'control characters stay here';
};

subtest 'nothing to tell' => sub {
    my $before = notices();
    like $mta->smtp->mail('ann@a.test', 'bob@relay.test', "Subject: fine\n\nx\n"), qr/^250/, 'a good session';
    my $c = Gatepost::Chat->new($quiet);
    $c->hello;
    $c->say($_) for 'NONSENSE2', 'MAIL FROM:<ann@a.test>', 'RCPT TO:<bob@elsewhere.test>', 'QUIT';
    my $last = Gatepost::Chat->new($short);
    $last->say($_) for 'FIRST', 'SECOND', 'THIRD';
    $last->quit;
    my $got = $sink->wait_message(qr/THIRD/) or return fail 'told';
    is scalar(notices()), $before + 1, 'only the one with trouble that somebody wants to hear of';
    unlike $got->{content}, qr/FIRST|SECOND/, 'smtpd_history_flush_threshold lines of it';
};

$mta->stop;
done_testing;
