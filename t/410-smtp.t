#!/usr/bin/perl
# t/410-smtp.t - where mail goes and how: MX, next servers, kept connections, TLS, LMTP, and what is said when it does not work.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Process qw(finish free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use IO::Socket::UNIX;
use Test::More;

my $sink = Gatepost::Sink->new(rcpt => { 'full@two.test' => '450 4.2.2 mailbox full' });
my $port = $sink->port;
my $dns  = Gatepost::DNS->new(
    'two.test'       => { MX => ['10 down.two.test.', '20 up.two.test.'] },
    'down.two.test'  => { A  => ['127.0.0.77'] },
    'up.two.test'    => { A  => ['127.0.0.1'] },
    'null.test'      => { MX => ['0 .'] },
    'plain.test'     => { A  => ['127.0.0.1'] },
    'sick.test'      => { MX => 'SERVFAIL' },
    'orphan.test'    => { MX => ['10 nowhere.orphan.test.'] },
);
my $mta = Gatepost::Test->new(
    sink    => $port,
    main_cf => {
        relay_domains       => 'relay.test, two.test, null.test, plain.test, sick.test, orphan.test, absent.test, refused.test, lmtp.test, list.test',
        dns_servers         => $dns->address,
        dns_hosts_file      => '',
        smtp_host_lookup    => 'dns',
        maximal_backoff_time => '300s',
        minimal_backoff_time => '300s',
        transport_maps      => 'inline:{ '
            . join(', ', map { "{ $_ = smtp:$_:$port }" } qw(two.test null.test plain.test sick.test orphan.test absent.test))
            . ', { refused.test = smtp:[127.0.0.1]:1 }, { lmtp.test = lmtp:unix:public/lmtp-test }'
            . ", { list.test = smtp:[127.0.0.1]:1, [127.0.0.1]:$port } }",
    },
)->start;

subtest 'mail exchangers' => sub {
    like $mta->send_to('bob@two.test'), qr/relay=up\.two\.test\[127\.0\.0\.1\]:$port, .*dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued\)$/, 'the second takes it';
    ok $mta->log_has(qr/smtp\[\d+\]: connect to down\.two\.test\[127\.0\.0\.77\]:$port: Connection refused/), 'the first was tried';
    like $mta->send_to('full@two.test'), qr/relay=up\.two\.test\[127\.0\.0\.1\]:$port, .*dsn=4\.2\.2, status=deferred \(host up\.two\.test\[127\.0\.0\.1\] said: 450 4\.2\.2 mailbox full \(in reply to RCPT TO command\)\)$/, 'a 4xx';
    like $mta->send_to('bob@plain.test'), qr/relay=plain\.test\[127\.0\.0\.1\]:$port, .*status=sent/, 'no MX: the domain itself';
    like $mta->send_to('bob@null.test'), qr/relay=none, .*dsn=5\.1\.0, status=bounced \(Domain null\.test does not accept mail \(nullMX\)\)$/, 'null MX';
    like $mta->send_to('bob@absent.test'), qr/relay=none, .*dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=absent\.test type=A: Host not found\)$/, 'no such domain';
    like $mta->send_to('bob@sick.test'), qr/relay=none, .*dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name service error for name=sick\.test type=MX: Host not found, try again\)$/, 'no answer now';
    like $mta->send_to('bob@orphan.test'), qr/dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for name=nowhere\.orphan\.test type=A: Host not found\)$/, 'MX without address';
};

subtest 'nobody listens' => sub {
    like $mta->send_to('bob@refused.test'), qr/relay=none, .*dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:1: Connection refused\)$/, 'deferred';
    like $mta->send_to('bob@list.test'), qr/relay=127\.0\.0\.1\[127\.0\.0\.1\]:$port, .*status=sent/, 'the next hop behind it is tried';
};

subtest 'kept connections' => sub {
    my $c = $mta->smtp;
    like $c->mail('ann@a.test', "reuse$_\@relay.test", "Subject: reuse $_\n\nx\n"), qr/^250/, "message $_" for 1 .. 8;
    ok $mta->log_has(qr/to=<reuse\d\@relay\.test>.*status=sent/, times => 8), 'all delivered';
    ok $mta->log_has(qr/to=<reuse\d\@relay\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:$port, conn_use=[2-8], delay=/), 'over fewer connections';
};

subtest 'LMTP' => sub {
    my $path = $mta->dir . '/queue/public/lmtp-test';
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!";
    chmod 0666, $path;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $peer = $listener->accept;
        my $say = sub { print $peer "$_[0]\r\n"; $peer->flush };
        my @rcpt;
        $say->('220 store.test LMTP');
        while (defined(my $line = <$peer>)) {
            push @rcpt, $1 if $line =~ /^RCPT TO:<(.*?)>/;
            if ($line =~ /^LHLO mx\.gate\.test/) { $say->("250-store.test\r\n250-PIPELINING\r\n250 8BITMIME") }
            elsif ($line =~ /^DATA/) {
                $say->('354 go');
                while (defined(my $l = <$peer>)) { last if $l eq ".\r\n" }
                $say->(/^over/ ? "552 5.2.2 <$_> Quota exceeded" : "250 2.1.5 <$_> stored") for @rcpt;
            }
            elsif ($line =~ /^(MAIL|RCPT)/) { $say->('250 2.0.0 ok') }
            else { $say->('500 5.5.1 what?') }
        }
        POSIX::_exit(0);
    }
    my $c = $mta->smtp;
    like $c->mail('ann@a.test', [qw(joe@lmtp.test over@lmtp.test)], "Subject: lmtp\n\nx\n"), qr/^250/, 'accepted';
    ok $mta->log_has(qr/lmtp\[\d+\]: \w+: to=<joe\@lmtp\.test>, relay=mx\.gate\.test\[public\/lmtp-test\], delay=.*, dsn=2\.1\.5, status=sent \(250 2\.1\.5 <joe\@lmtp\.test> stored\)/), 'one stored';
    ok $mta->log_has(qr/to=<over\@lmtp\.test>, relay=mx\.gate\.test\[public\/lmtp-test\], .*dsn=5\.2\.2, status=bounced \(host mx\.gate\.test\[public\/lmtp-test\] said: 552 5\.2\.2 <over\@lmtp\.test> Quota exceeded \(in reply to end of DATA command\)\)/), 'the other not';
    finish($pid);
};

$mta->stop;

subtest 'TLS' => sub {
    my $far = Gatepost::Test->new(sink => $port, quiet => 1, main_cf => {
        smtpd_tls_security_level => 'may',
        relay_domains            => 'relay.test, verified.test, policy.test',
    });
    my $pem = $far->dir . '/conf/tls.pem';
    my ($failed) = $far->command(qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=far.test -addext subjectAltName=DNS:far.test -keyout), $pem, '-out', "$pem.cert");
    plan skip_all => 'no openssl command' if $failed;
    chmod 0644, $pem;
    $far->{main_cf}{smtpd_tls_key_file}  = $pem;
    $far->{main_cf}{smtpd_tls_cert_file} = "$pem.cert";
    $far->write_config->start;
    my $hop  = '[127.0.0.1]:' . $far->port;
    my $near = Gatepost::Test->new(
        sink    => $far->port,
        main_cf => {
            smtp_tls_security_level => 'encrypt', smtp_tls_loglevel => 1, smtp_tls_CAfile => "$pem.cert",
            relay_domains  => 'relay.test, verified.test, impostor.test, policy.test',
            transport_maps => "inline:{ { verified.test = verified:$hop }, { impostor.test = impostor:$hop }, { policy.test = policy:$hop } }",
        },
        master_cf => join("\n",
            'verified unix - - n - - smtp -o smtp_tls_security_level=verify -o smtp_tls_verify_cert_match=far.test',
            'impostor unix - - n - - smtp -o smtp_tls_security_level=verify -o smtp_tls_verify_cert_match=other.test',
            "policy   unix - - n - - smtp -o smtp_tls_security_level=none -o { smtp_tls_policy_maps=inline:{ { $hop = secure match=far.test } } }", ''),
    )->start;
    for my $to (qw(bob@relay.test cy@verified.test dee@impostor.test eve@policy.test)) {
        like $near->smtp->mail('ann@a.test', $to, "Subject: TLS for $to\n\nx\n"), qr/^250/, "accepted for $to";
    }
    ok $sink->wait_message(qr/Subject: TLS for bob/), 'encrypted';
    ok $sink->wait_message(qr/Subject: TLS for cy/), 'verified';
    ok $sink->wait_message(qr/Subject: TLS for eve/), 'level from the policy table';
    ok $near->log_has(qr/Trusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.\d with cipher/), 'the authority is known';
    ok $near->log_has(qr/Verified TLS connection established/, times => 2), 'the name, where it was asked for';
    ok $near->log_has(qr/to=<dee\@impostor\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)/), 'another name: deferred';
    $near->stop;
    $far->stop;
};

done_testing;
