#!/usr/bin/perl
# t/115-verify.t - address verification: probes, what they lead to, what is remembered and shared; being a backup MX.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Postfix;
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $sink = Gatepost::Sink->new(rcpt => { 'gone@relay.test' => '550 5.1.1 who is that?', 'later@relay.test' => '450 4.2.0 come back', 'gone@far.test' => '551 5.7.1 not him' });
my $dns = Gatepost::DNS->new(
    'backed.test' => { MX => ['10 main.test.', '20 mx.gate.test.'] }, 'first.test' => { MX => ['10 mx.gate.test.'] },
    'main.test'   => { A => ['192.0.2.99'] }, 'mx.gate.test' => { A => ['127.0.0.1'] }, 'other.test' => { MX => ['10 main.test.'] },
);
my $soft = Gatepost::Process::free_port();
my $sender = Gatepost::Process::free_port();
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => {
        dns_servers                      => $dns->address,
        redis_server                     => $redis->endpoint,
        virtual_alias_maps               => 'inline:{ alias@relay.test=gone@relay.test }',
        smtpd_recipient_restrictions     => 'reject_unverified_recipient',
        unverified_recipient_reject_code => 550,
    },
    master_cf => "127.0.0.1:$soft inet n - n - - smtpd\n"
        . " -o { smtpd_recipient_restrictions = warn_if_reject reject_unverified_recipient }\n"
        . " -o unverified_recipient_reject_reason=ask_me\n"
        . "127.0.0.1:$sender inet n - n - - smtpd\n"
        . " -o smtpd_recipient_restrictions=reject_unverified_sender -o unverified_sender_reject_code=553 -o unverified_sender_tempfail_action=defer"
        . " -o { smtpd_relay_restrictions = permit_mx_backup, reject_unauth_destination }",
)->start;

sub rcpt {
    my ($from, $to, $port) = @_;
    my $c = Gatepost::Chat->new($port // $mta->port);
    $c->hello;
    $c->say("MAIL FROM:<$from>");
    return $c->say("RCPT TO:<$to>");
}

sub probes { my $count = () = $mta->log =~ /to=<\Q$_[0]\E>, .*status=(?:un)?deliverable/g; return $count }

subtest 'recipients' => sub {
    like rcpt('a@a.test', 'bob@relay.test'), qr/^250/, 'who is there may get mail';
    is rcpt('a@a.test', 'gone@relay.test'),
        '550 5.1.1 <gone@relay.test>: Recipient address rejected: undeliverable address: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 who is that? (in reply to RCPT TO command)',
        'who is not, may not';
    is rcpt('a@a.test', 'later@relay.test'),
        '450 4.1.1 <later@relay.test>: Recipient address rejected: unverified address: host 127.0.0.1[127.0.0.1] said: 450 4.2.0 come back (in reply to RCPT TO command)',
        'undecided: later';
    like rcpt('a@a.test', 'alias@relay.test'), qr/^550 5\.1\.1 <alias\@relay\.test>: .*undeliverable address/, 'an alias of that one neither';
    like rcpt('a@a.test', 'double-bounce@gate.test'), qr/^(250|554 5\.7\.1)/, 'the sender of probes is not probed';
    ok $mta->log_has(qr/to=<bob\@relay\.test>, relay=127\.0\.0\.1\S+, .*dsn=2\.\d\.\d, status=deliverable \(250 /), 'logged';
    ok $mta->log_has(qr/to=<gone\@relay\.test>, .*dsn=5\.1\.1, status=undeliverable \(host /), 'both ways';
    is scalar($sink->messages), 0, 'nothing was sent';
};

subtest 'what is remembered' => sub {
    rcpt('a@a.test', $_) for 'bob@relay.test', 'gone@relay.test', 'BOB@relay.test';
    is probes('bob@relay.test'), 1, 'asked once';
    is probes('gone@relay.test'), 1, 'also for the bad';
    like $redis->command('GET', 'gp:verify:bob@relay.test'), qr/^g \d+ 2\.\d\.\d /, 'shared through Redis';
    $redis->command('SET', 'gp:verify:told@relay.test', 'b 9999999999 5.1.1 said another gateway');
    like rcpt('a@a.test', 'told@relay.test'), qr/^550 5\.1\.1 .*undeliverable address: said another gateway/, 'by all gateways';
    $redis->command('SET', 'gp:verify:odd@relay.test', "\r\n250 nonsense");
    like rcpt('a@a.test', 'odd@relay.test'), qr/^250/, 'nonsense there is not believed';
};

subtest 'warned of' => sub {
    like rcpt('a@a.test', 'gone@relay.test', $soft), qr/^250/, 'warn_if_reject';
    ok $mta->log_has(qr/reject_warning: RCPT from .*undeliverable address: ask_me; from/), 'with the words of unverified_recipient_reject_reason';
};

subtest 'senders' => sub {
    like rcpt('ok@far.test', 'bob@relay.test', $sender), qr/^250/, 'one that exists';
    like rcpt('gone@far.test', 'bob@relay.test', $sender), qr/^553 5\.1\.7 <gone\@far\.test>: Sender address rejected: undeliverable address: host .* said: 551 5\.7\.1 not him/, 'one that does not';
    like rcpt('later@relay.test', 'bob@relay.test', $sender), qr/^450 4\.1\.7 .*unverified address/, 'undecided';
    like rcpt('', 'bob@relay.test', $sender), qr/^250/, 'the null sender is nobody to ask for';
};

subtest 'backup MX' => sub {
    like rcpt('', 'x@backed.test', $sender), qr/^250/, 'we are the second host of the domain';
    like rcpt('', 'x@first.test', $sender), qr/^554 5\.7\.1/, 'we are its first';
    like rcpt('', 'x@other.test', $sender), qr/^554 5\.7\.1/, 'we are none of its hosts';
};

# ---- beside a Postfix with the same main.cf ----

my $silent = Gatepost::Sink->new(on => { RCPT => 'SILENCE' });
my $unfriendly = Gatepost::Sink->new(on => { MAIL => '550 5.7.1 no mail from you' });
my $odd = Gatepost::Sink->new(rcpt => { 'gone@odd.test' => '551 5.7.1 not him', 'plain@odd.test' => '550 no code', 'lines@odd.test' => "550-5.1.1 one\r\n550 5.1.1 two",
    'mixed@odd.test' => '550 4.1.1 mixed', 'bye@odd.test' => '421 4.3.2 bye', 'later@odd.test' => '452 4.2.2 full', 'far@odd.test' => '554 5.4.4 x' });
my @listeners = (
    [ usual => {} ],
    [ hard => { unverified_recipient_reject_code => 550, unverified_sender_reject_code => 553, unverified_recipient_defer_code => 451, unverified_sender_defer_code => 452 } ],
    [ reason => { unverified_recipient_reject_code => 550, unverified_recipient_reject_reason => 'ask me', unverified_sender_reject_reason => 'Address lookup failed' } ],
    [ at_once => { unverified_recipient_tempfail_action => 'defer', unverified_sender_tempfail_action => 'defer', smtpd_recipient_restrictions => 'reject_unverified_recipient, reject' } ],
    [ followed => { smtpd_recipient_restrictions => 'reject_unverified_recipient, reject', smtpd_sender_restrictions => '' } ],
    [ warned => { smtpd_recipient_restrictions => 'warn_if_reject reject_unverified_recipient', smtpd_sender_restrictions => 'warn_if_reject reject_unverified_sender' } ],
);
my @questions = (
    (map { [ 'a@odd.test', $_ ] } 'bob@odd.test', 'bob+x@odd.test', 'BOB@ODD.test', (map { "$_\@odd.test" } qw(gone plain lines mixed bye later far alias two chain self)), 'v@valias.test',
        'ann@local.test', 'x@vbox.test', 'x@hostile.test', 'x@closed.test', 'x@nowhere.test', 'x@discard.test', 'x@error.test', 'double-bounce@odd.test', 'postmaster'),
    (map { [ $_, 'bob@odd.test' ] } 'gone@odd.test', 'later@odd.test', 'alias@odd.test', 'x@closed.test', 'double-bounce@gate.test', 'nodomain', ''),
);
my @slow = ([ 'a@odd.test', 'x@silent.test' ], [ 'x@silent.test', 'bob@odd.test' ]);

sub twin {
    my ($class, %more) = @_;
    my $ports = { map { $_->[0] => Gatepost::Process::free_port() } @listeners };
    my $rows = join '', map { my ($name, $set) = @$_; join "\n", "127.0.0.1:$ports->{$name} inet n - n - - smtpd", (map { "  -o {$_ = $set->{$_}}" } sort keys %$set), '' } @listeners;
    my %at = (silent => $silent->port, hostile => $unfriendly->port, closed => Gatepost::Process::free_port());
    return ($ports, $class->new(sink => $odd->port, master_cf => $rows, main_cf => {
        smtpd_recipient_restrictions => 'reject_unverified_recipient', smtpd_sender_restrictions => 'reject_unverified_sender',
        address_verify_poll_delay => '1s', address_verify_poll_count => 2, smtp_rcpt_timeout => '4s', recipient_delimiter => '+',
        mydestination => 'local.test', local_recipient_maps => 'inline:{ann=x}', local_transport => 'error:5.2.1 mailbox disabled',
        virtual_mailbox_domains => 'vbox.test', virtual_mailbox_maps => '', virtual_transport => 'retry:4.2.1 not now', virtual_alias_domains => 'valias.test',
        virtual_alias_maps => 'inline:{ {alias@odd.test=gone@odd.test}, {two@odd.test=bob@odd.test, gone@odd.test}, {v@valias.test=gone@odd.test},'
            . ' {chain@odd.test=v@valias.test}, {self@odd.test=self@odd.test} }',
        relay_domains => 'odd.test, ' . join(', ', map { "$_.test" } qw(silent hostile closed nowhere discard error)),
        transport_maps => 'inline:{ ' . join('', map { "{$_.test=smtp:[127.0.0.1]:$at{$_}}, " } sort keys %at)
            . '{discard.test=discard:}, {error.test=error:5.1.2 bad destination}, {nowhere.test=smtp:[no.such.host.test]} }', %more })->start);
}

# All questions at once: each may take as long as the probes do.
sub answers {
    my ($port, @asked) = @_;
    my @c = map { Gatepost::Chat->new($port) } @asked;
    $_->send_raw("EHLO client.test\r\n") for @c;
    $_->reply for @c;
    $c[$_]->send_raw("MAIL FROM:<$asked[$_][0]>\r\nRCPT TO:<$asked[$_][1]>\r\n") for 0 .. $#c;
    return map { my $mail = $_->reply; my $rcpt = $_->reply; ($mail =~ /^2/ ? $rcpt : $mail) =~ s/\[127\.0\.0\.1\]:\d+/[127.0.0.1]/r } @c;
}

SKIP: {
    skip 'no Postfix to compare with, or no root to run it', 1 unless Gatepost::Postfix::installed();
    skip 'compared without sanitizers', 1 if $ENV{ASAN_OPTIONS};
    my $resolver = Gatepost::DNS->new;
    my ($our_ports, $ours) = twin('Gatepost::Test', dns_servers => $resolver->address);
    my ($their_ports, $theirs) = twin('Gatepost::Postfix');
    for my $listener (map { $_->[0] } @listeners) {
        my @asked = (@questions, $listener eq 'usual' ? @slow : ());
        my @we = answers($our_ports->{$listener}, @asked);
        my @they = answers($their_ports->{$listener}, @asked);
        is $we[$_], $they[$_], "as Postfix: $listener: from <$asked[$_][0]> to <$asked[$_][1]>" for 0 .. $#asked;
    }
    $_->stop for $ours, $theirs;
}

$mta->stop;
done_testing;
