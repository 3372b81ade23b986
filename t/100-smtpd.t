#!/usr/bin/perl
# t/100-smtpd.t - what a client meets: greeting, relay control, syntax, sizes, content byte for byte, no smuggling.
use strict;
use warnings;
use Gatepost::Process qw(free_port);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new;
my $second = free_port();
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { message_size_limit => 100_000 }, master_cf => <<"ROWS")->start;
127.0.0.1:$second inet n - n - 1 smtpd -o cleanup_service_name=pre-cleanup
pre-cleanup unix n - n - 0 cleanup -o {header_checks = regexp:{{/^Subject:/ PREPEND X-Way: through the row's own cleanup}}}
ROWS

subtest 'greeting and hello' => sub {
    my $c = Gatepost::Chat->new($mta->port);
    like $c->greeting, qr/^220 mx\.gate\.test ESMTP Gatepost/, 'banner';
    my $ehlo = $c->hello;
    like $ehlo, qr/^250-mx\.gate\.test$/m, 'host name';
    like $ehlo, qr/^250[- ]\Q$_\E/m, $_ for 'PIPELINING', 'SIZE 100000', '8BITMIME', 'DSN', 'ENHANCEDSTATUSCODES', 'SMTPUTF8', 'CHUNKING';
    like $c->say('NOSUCH'), qr/^5\d\d 5\.5\.2/, 'unknown command';
    like $c->quit, qr/^221 2\.0\.0/, 'quit';
    ok $mta->log_has(qr/disconnect from unknown\[127\.0\.0\.1\] ehlo=1 quit=1 unknown=0\/1 commands=2\/3/), 'what was said is counted';
};

subtest 'relaying' => sub {
    my $c = $mta->smtp;
    like $c->say('MAIL FROM:<ann@a.test>'), qr/^250 2\.1\.0/, 'sender';
    like $c->say('RCPT TO:<bob@elsewhere.test>'), qr/^554 5\.7\.1 <bob\@elsewhere\.test>: Relay access denied/, 'not ours';
    like $c->say('RCPT TO:<bob%elsewhere.test@relay.test>'), qr/^[45]/, 'not through a percent sign either';
    like $c->say('RCPT TO:<bob@relay.test>'), qr/^250 2\.1\.5/, 'ours';
    ok $mta->log_has(qr/NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 554 5\.7\.1 <bob\@elsewhere\.test>: Relay access denied; from=<ann\@a\.test> to=<bob\@elsewhere\.test> proto=ESMTP helo=<client\.test>/), 'logged as Postfix does';
};

subtest 'content arrives as it was sent' => sub {
    my $body = join '', "dots:\r\n", ".\r\n", "..two\r\n", ".x\r\n", "8-bit: \xe9\xff\r\n", 'x' x 900, "\r\n", "end\r\n";
    my $reply = $mta->smtp->mail('ann@a.test', 'bob@relay.test', "Subject: exact\r\n\r\n$body");
    like $reply, qr/^250 2\.0\.0 Ok: queued as (\w+)/, 'queued';
    my $got = $sink->wait_message(qr/Subject: exact/);
    ok $got, 'delivered' or return;
    is +($got->{content} =~ /\r\n\r\n(.*)\z/s)[0], $body, 'body is the same';
    like $got->{content}, qr/^Received: from client\.test \(unknown \[127\.0\.0\.1\]\)\r\n\tby mx\.gate\.test \(Gatepost\) with ESMTP id \w+\r\n\tfor <bob\@relay\.test>; /, 'Received on top';
    ok $mta->log_has(qr/to=<bob\@relay\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, delays=[\d.]+\/[\d.]+\/[\d.]+\/[\d.]+, dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued\)/), 'delivery is logged';
    ok $mta->wait_empty, 'queue is empty';
};

subtest 'one message, not two' => sub {
    my $before = $sink->messages;
    for my $end ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n") {
        my $c = $mta->smtp;
        $c->say($_) for 'MAIL FROM:<ann@a.test>', 'RCPT TO:<bob@relay.test>', 'DATA';
        $c->send_raw("Subject: smuggle\r\n\r\nx${end}MAIL FROM:<evil\@a.test>\r\nRCPT TO:<bob\@relay.test>\r\nDATA\r\nSubject: inner\r\n\r\ny\r\n.\r\n");
        like $c->reply, qr/^(250|5\d\d) /, 'one answer';
        like $c->say('NOOP'), qr/^250/, 'and the session is in step';
    }
    ok $mta->wait_empty, 'delivered';
    is scalar(grep { $_->{mail} =~ /evil/ } $sink->messages), 0, 'no smuggled sender';
};

subtest 'limits' => sub {
    like $mta->smtp->say('MAIL FROM:<ann@a.test> SIZE=200000'), qr/^552 5\.3\.4/, 'announced size';
    my $c = $mta->smtp;
    like $c->mail('ann@a.test', 'bob@relay.test', "Subject: big\n\n" . ('x' x 70 . "\n") x 2000), qr/^552 5\.3\.4/, 'real size';
    like $c->mail('ann@a.test', 'bob@relay.test', "Subject: small\n\nok\n"), qr/^250/, 'the session goes on';
};

subtest 'pipelined and in chunks' => sub {
    my $c = $mta->smtp;
    $c->send_raw("MAIL FROM:<ann\@a.test>\r\nRCPT TO:<bob\@relay.test>\r\nRCPT TO:<x\@elsewhere.test>\r\nDATA\r\n");
    like $c->reply, $_ for qr/^250 2\.1\.0/, qr/^250 2\.1\.5/, qr/^554 5\.7\.1/, qr/^354/;
    like $c->send_raw("Subject: piped\r\n\r\nx\r\n.\r\n")->reply, qr/^250/, 'accepted';
    like $c->say('MAIL FROM:<ann@a.test>'), qr/^250/, 'again';
    like $c->say('RCPT TO:<bob@relay.test>'), qr/^250/, 'again';
    like $c->send_raw("BDAT 20\r\nSubject: chunks\r\n\r\nx")->reply, qr/^250/, 'first chunk';
    like $c->send_raw("BDAT 4 LAST\r\ny\r\n.")->reply, qr/^250/, 'last chunk';
    ok $sink->wait_message(qr/Subject: chunks\r\n.*\r\n\r\nxy\r\n\.\r\n\z/s), 'a dot in a chunk is a dot';
};

subtest 'a row with a cleanup of its own' => sub {
    like +Gatepost::Chat->new($second)->mail('ann@a.test', 'bob@relay.test', "Subject: second way\n\nx\n"), qr/^250/, 'taken';
    like $sink->wait_message(qr/second way/)->{content}, qr/^X-Way: through the row's own cleanup\r$/m, 'it was asked';
};

$mta->stop;
done_testing;
