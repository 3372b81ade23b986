#!/usr/bin/perl
# t/108-proxy-filter.t - smtpd_proxy_filter: what a filter before the queue is told, and that mail comes back from it into the queue.
use strict;
use warnings;
use Gatepost::Process qw(free_port);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new;
my $gone = Gatepost::Sink->new(on => { DATA => 'HANGUP' });
my ($back, $late, $lists, $lost) = map { free_port() } 1 .. 4;

# The filter is the simplest there is: the smtpd behind it, which believes XFORWARD.
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { message_size_limit => 5_000_000, smtpd_proxy_filter => "127.0.0.1:$back" },
    master_cf => <<"EOF")->start;
127.0.0.1:$back inet n - n - - smtpd
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_proxy_filter=
  -o syslog_name=gatepost/back
127.0.0.1:$late inet n - n - - smtpd
  -o smtpd_proxy_options=speed_adjust
127.0.0.1:$lists inet n - n - - smtpd
  -o { smtpd_sender_restrictions = check_sender_access inline:{ {hold.test=HOLD} {top.test=PREPEND X-Top: yes} } }
127.0.0.1:$lost inet n - n - - smtpd
  -o smtpd_proxy_filter=127.0.0.1:@{[ $gone->port ]}
EOF

subtest 'there and back' => sub {
    my $c = $mta->smtp;
    $c->xclient(ADDR => '192.0.2.77', NAME => 'far.client.test');
    $c->hello('far.hello.test');
    like $c->mail('ann@a.test', [ 'bob@relay.test', 'eve@relay.test' ], "Subject: filtered\n\n.dot\n..dots\n"),
        qr/^250 2\.0\.0 Ok: queued as (\w+)/, 'the client hears the queue behind the filter';
    my $got = $sink->wait_message(qr/Subject: filtered/) or return fail 'delivered';
    is scalar(() = $got->{content} =~ /^Received: /mg), 2, 'a Received field for each smtpd' or diag $got->{content};
    like $got->{content}, qr/\r\n\r\n\.dot\r\n\.\.dots\r\n/, 'content as it was';
    ok $mta->log_has(qr/smtpd\[\d+\]: NOQUEUE: client=far\.client\.test\[192\.0\.2\.77\]/), 'no queue in front of the filter';
    ok $mta->log_has(qr/back\S*: \w+: client=unknown\[127\.0\.0\.1\], orig_client=far\.client\.test\[192\.0\.2\.77\]/),
        'the filter is told who the client is';
    ok $mta->log_has(qr/NOQUEUE: proxy-accept: END-OF-MESSAGE from far\.client\.test\[192\.0\.2\.77\]: 250 2\.0\.0 Ok: queued as \w+; from=<ann\@a\.test> proto=ESMTP helo=<far\.hello\.test>/),
        'logged';
};

subtest 'large and late' => sub {
    for my $port ($mta->port, $late) {
        my $c = Gatepost::Chat->new($port);
        $c->hello;
        my $body = join '', map { "line $_ " . 'x' x 60 . "\n" } 1 .. 20_000;
        like $c->mail('ann@a.test', 'bob@relay.test', "Subject: large $port\n\n$body"), qr/^250/, 'taken';
        my $got = $sink->wait_message(qr/Subject: large $port/) or return fail 'delivered';
        is length(($got->{content} =~ /\r\n\r\n(.*)\z/s)[0]), length($body) + 20_000, 'all of it arrives';
    }
};

subtest 'parameters' => sub {
    my $c = $mta->smtp;
    like $c->say('MAIL FROM:<ann@a.test> RET=HDRS ENVID=abc'), qr/^250/, 'sender';
    like $c->say('RCPT TO:<bob@relay.test> NOTIFY=NEVER ORCPT=rfc822;x@y.test'), qr/^250/, 'recipient';
    like $c->say('RCPT TO:<bob@elsewhere.test>'), qr/^554 5\.7\.1 <bob\@elsewhere\.test>: Relay access denied/, 'our own refusals are our own';
    like $c->say('DATA'), qr/^354/, 'DATA';
    like $c->send_raw("Subject: dsn\r\n\r\nx\r\n.\r\n")->reply, qr/^250/, 'content';
    my $got = $sink->wait_message(qr/Subject: dsn/) or return fail 'delivered';
    like $got->{mail}, qr/RET=HDRS ENVID=abc/, 'RET and ENVID pass';
    like $got->{rcpt}[0], qr/ORCPT=rfc822;x\@y\.test NOTIFY=NEVER/, 'NOTIFY and ORCPT pass';
};

subtest 'actions that need the queue' => sub {
    my $c = Gatepost::Chat->new($lists);
    $c->hello;
    like $c->mail('ann@hold.test', 'bob@relay.test', "Subject: held\n\nx\n"), qr/^250/, 'taken';
    ok $mta->log_has(qr/with smtpd_proxy_filter specified, action HOLD is unavailable/), 'said in front of the filter';
    like $c->mail('ann@top.test', 'bob@relay.test', "Subject: topped\n\nx\n"), qr/^250/, 'taken';
    my $got = $sink->wait_message(qr/Subject: topped/) or return fail 'delivered';
    like $got->{content}, qr/^X-Top: yes\r\nReceived: /m, 'a field that was prepended goes through the filter';
};

subtest 'a filter that goes away' => sub {
    my $c = Gatepost::Chat->new($lost);
    $c->hello;
    like $c->mail('ann@a.test', 'bob@relay.test', "Subject: lost\n\nx\n"), qr/^451 4\.3\.0/, 'come again';
    like $c->say('RSET'), qr/^250/, 'the session goes on';
    ok $mta->log_has(qr/warning: NOQUEUE: proxy filter 127\.0\.0\.1:\d+: /), 'logged';
};

$mta->stop;
done_testing;
