#!/usr/bin/perl
# t/108-limits.t - how much a client may do: connections and events, counted over workers and over gateways, told and logged as Postfix does.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::Process qw(free_port);
use Gatepost::Redis;
use Gatepost::Test;
use Test::More;

my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $certs = Gatepost::Certs->new;
$certs->make('mx.gate.test');
my %port = map { $_ => free_port() } qw(connect count mail rcpt tls wrapped fleet auth);
my %limit = (
    connect => ['smtpd_client_connection_rate_limit=2'],
    count   => ['smtpd_client_connection_count_limit=2'],
    mail    => ['smtpd_client_message_rate_limit=2'],
    rcpt    => ['smtpd_client_recipient_rate_limit=2'],
    tls     => ['smtpd_client_new_tls_session_rate_limit=1'],
    wrapped => ['smtpd_client_newtls_rate_limit=1', 'smtpd_tls_wrappermode=yes'],
    auth    => ['smtpd_client_auth_rate_limit=2', 'smtpd_sasl_auth_enable=yes', 'smtpd_sasl_path=inet:127.0.0.1:9'],
    fleet   => ['smtpd_client_limits_shared=yes', 'smtpd_client_message_rate_limit=2', 'smtpd_client_connection_count_limit=2'],
);

# Two gateways of a fleet; the second on another address.
sub gateway {
    my ($addr) = @_;
    return Gatepost::Test->new(
        main_cf => {
            smtpd_authorized_xclient_hosts      => '',
            smtpd_client_event_limit_exceptions => '127.0.0.99',
            smtpd_tls_security_level            => 'may',
            smtpd_tls_chain_files               => $certs->file('mx.gate.test.pem'),
            smtpd_tls_loglevel                  => 1,
            redis_server                        => $redis->endpoint,
            anvil_rate_time_unit                => '1h',
        },
        master_cf => join '', map { "$addr:$port{$_} inet n - n - - smtpd\n" . join '', map { "  -o $_\n" } @{ $limit{$_} } } sort keys %limit,
    )->start;
}
my ($mta, $second) = map { gateway($_) } '127.0.0.1', '127.0.0.2';

sub client { my ($name, $n, %o) = @_; return Gatepost::Chat->new($port{$name}, from => "127.0.0.$n", %o) }
sub warned { my ($what, $n, $port) = @_; ok $mta->log_has(qr/smtpd\[\d+\]: warning: $what from unknown\[127\.0\.0\.$n\] for service 127\.0\.0\.1:$port/), "log: $what" }

subtest 'connections' => sub {
    my @c = map { client('connect', 2) } 1 .. 3;
    is scalar(grep { $_->greeting =~ /^220/ } @c), 2, 'rate: two, by whatever worker';
    my ($refused) = grep { $_->greeting !~ /^220/ } @c;
    is $refused->greeting, '421 4.7.0 mx.gate.test Error: too many connections from 127.0.0.2', 'the third is told';
    warned('Connection rate limit exceeded: 3', 2, $port{connect});
    like client('connect', 3)->greeting, qr/^220/, 'others have their own count';
    like client('connect', 99)->greeting, qr/^220/, 'exceptions have none' for 1 .. 3;
    @c = map { client('count', 2) } 1 .. 3;
    is scalar(grep { $_->greeting =~ /^220/ } @c), 2, 'at once: two';
    warned('Connection concurrency limit exceeded: 3', 2, $port{count});
    $_->greeting =~ /^220/ && $_->quit for @c;
    ok $mta->log_has(qr/disconnect from unknown\[127\.0\.0\.2\] quit=1/, times => 2), 'they leave';
    like client('count', 2)->greeting, qr/^220/, 'and there is room again';
};

subtest 'messages and recipients' => sub {
    my $c = client('mail', 2);
    $c->hello;
    for (1, 2) {
        like $c->say('MAIL FROM:<a@b.test>'), qr/^250/, "message $_";
        $c->say('RSET');
    }
    is client('mail', 2)->say('MAIL FROM:<a@b.test>'), '450 4.7.1 Error: too much mail from 127.0.0.2', 'one too many, in another session';
    warned('Message delivery request rate limit exceeded: 3', 2, $port{mail});
    $c = client('rcpt', 2);
    $c->hello;
    $c->say('MAIL FROM:<a@b.test>');
    is join(' ', map { substr $c->say("RCPT TO:<$_\@relay.test>"), 0, 9 } 1 .. 3), '250 2.1.5 250 2.1.5 450 4.7.1', 'recipients';
    is $c->say('RCPT TO:<4@relay.test>'), '450 4.7.1 Error: too many recipients from 127.0.0.2', 'the reply';
    warned('Recipient address rate limit exceeded: 4', 2, $port{rcpt});
};

subtest 'logging in' => sub {
    my $c = client('auth', 2);
    $c->hello;
    like $c->say('AUTH PLAIN AGFubgBzZWNyZXQ='), qr/^454 4\.7\.0/, 'nobody to ask' for 1, 2;
    is $c->say('AUTH PLAIN AGFubgBzZWNyZXQ='), '450 4.7.1 Error: too many AUTH commands from 127.0.0.2', 'one too many';
    is client('auth', 2)->say('AUTH LOGIN'), '450 4.7.1 Error: too many AUTH commands from 127.0.0.2', 'in another session, too';
    warned('AUTH command rate limit exceeded: 3', 2, $port{auth});
    like client('auth', 3)->say('AUTH LOGIN'), qr/^454/, 'others have their own count';
};

subtest 'TLS' => sub {
    my $saved = $certs->file('session');
    my $client = "openssl s_client -ign_eof -starttls smtp -bind 127.0.0.2:0 -connect 127.0.0.1:$port{tls} -tls1_2";
    my ($first, $again) = map { scalar `echo QUIT | $client $_ $saved 2>&1` } '-sess_out', '-sess_in';
    like $first, qr/^New, .*^221 2\.0\.0/ms, 'first session';
    like $again, qr/^Reused, .*^221 2\.0\.0/ms, 'a session that is resumed is none';
    my $c = client('tls', 2);
    ok $c->starttls(silent => 1), 'second new session';
    is $c->reply, '421 4.7.0 mx.gate.test Error: too many new TLS sessions from unknown[127.0.0.2]', 'is one too many';
    warned('New TLS session rate limit exceeded: 2', 2, $port{tls});
    is client('tls', 2)->say('STARTTLS'), '454 4.7.0 Error: too many new TLS sessions from unknown[127.0.0.2]', 'and then none is begun';
    warned('Refusing STARTTLS request', 2, $port{tls});
    my @got = map { my $s = client('wrapped', 2, silent => 1)->handshake; $s ? substr $s->reply, 0, 9 : 'none' } 1 .. 3;
    is "@got", '220 mx.ga 421 4.7.0 none', 'TLS from the start';
    warned('Refusing TLS service request', 2, $port{wrapped});
};

subtest 'a fleet' => sub {
    my @at = ('127.0.0.1', '127.0.0.2');
    my @c = map { client('fleet', 7, to => $at[$_]) } 0, 1;
    is scalar(grep { $_->greeting =~ /^220/ } @c), 2, 'a connection to each gateway';
    is client('fleet', 7, to => $at[$_])->greeting, '421 4.7.0 mx.gate.test Error: too many connections from 127.0.0.7', 'no more at any' for 0, 1;
    $_->hello for @c;
    like $c[$_]->say('MAIL FROM:<a@b.test>'), qr/^250/, 'a message to each' for 0, 1;
    $c[$_]->say('RSET') for 0, 1;
    like $c[$_]->say('MAIL FROM:<a@b.test>'), qr/^450 4\.7\.1/, 'no more at any' for 0, 1;
    $_->quit for @c;
    ok $_->log_has(qr/disconnect from unknown\[127\.0\.0\.7\] ehlo=1/), 'they leave' for $mta, $second;
    is client('fleet', 7)->greeting =~ s/ .*//r, 220, 'which frees the place';
    $redis->stop;
    is join(' ', map { substr client('fleet', 8)->say('MAIL FROM:<a@b.test>'), 0, 3 } 1 .. 3), '250 250 450', 'without Redis a gateway counts for itself';
};

$_->stop for $mta, $second;
done_testing;
