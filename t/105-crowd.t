#!/usr/bin/perl
# t/105-crowd.t - more clients than the service may have: one cannot lock out others, silent ones make room.
use strict;
use warnings;
use Gatepost::Process qw(free_port);
use Gatepost::Test;
use IO::Select;
use Test::More;

my $port = free_port();
my $mta = Gatepost::Test->new(
    main_cf   => { smtpd_workers => 2, smtpd_authorized_xclient_hosts => '', smtpd_client_connection_count_limit => 0, smtpd_timeout => '300s' },
    master_cf => "127.0.0.1:$port inet n - n - 6 smtpd\n  -o smtpd_client_event_limit_exceptions=127.0.0.9",
)->start;

sub client { return Gatepost::Chat->new($port, from => $_[0]) }

my @greedy = map { client('127.0.0.2') } 1 .. 6;
is scalar(grep { $_->greeting =~ /^220/ } @greedy), 6, 'one client may have all places while nobody else wants one';

subtest 'the client that holds most' => sub {
    my $more = client('127.0.0.2');
    like $more->greeting, qr/^421 4\.3\.2 mx\.gate\.test Error: all server ports are busy/, 'is told to come later';
    ok $mta->log_has(qr/warning: service "127\.0\.0\.1:$port" has reached its process limit "6": new clients may experience noticeable delays/),
        'warned of';
    ok $mta->log_has(qr/NOQUEUE: reject: CONNECT from unknown\[127\.0\.0\.2\]: 421 4\.3\.2 All server ports are busy; proto=SMTP/), 'logged';
};

subtest 'others get in' => sub {
    my @others = map { client("127.0.0.$_") } 3 .. 5;
    is scalar(grep { $_->greeting =~ /^220/ } @others), 3, 'served';
    like $_->say('EHLO there'), qr/^250/, 'and go on' for @others;
    ok $mta->log_has(qr/ended to make room after CONNECT from unknown\[127\.0\.0\.2\]/, times => 3), 'in place of three that were silent';
    my %heard = map { $_->say('NOOP') => 1 } @greedy;
    is join('|', sort keys %heard), '250 2.0.0 Ok|421 4.3.2 mx.gate.test Error: too busy for a silent client', 'they were told, the others stay';
    ok $mta->log_has(qr/service "127\.0\.0\.1:$port": settings for stress/, times => 2), 'the service is under stress';
    is $others[0]->say('NONSENSE'), '500 5.5.2 Error: command not recognized', 'an error';
    is $others[0]->reply, '421 4.7.0 mx.gate.test Error: too many errors', 'is one too many (smtpd_hard_error_limit = ${stress?{1}:{20}})';
    my $exempt = client('127.0.0.9');
    like $exempt->greeting, qr/^220/, 'a client without limits gets in as well';
    like $exempt->quit, qr/^221/, 'and out';
    undef @greedy;
};

subtest 'room again' => sub {
    ok $mta->log_has(qr/disconnect from unknown\[127\.0\.0\.[2-9]\]/, times => 10), 'all are gone';
    @greedy = map { client('127.0.0.2') } 1 .. 6;
    is scalar(grep { $_->greeting =~ /^220/ } @greedy), 6, 'every place was given back';
};

subtest 'in the middle of a message' => sub {
    for (@greedy) {
        $_->say('HELO there');
        $_->say('MAIL FROM:<ann@a.test>');
        $_->say('RCPT TO:<bob@relay.test>');
        like $_->say('DATA'), qr/^354/, 'begun';
    }
    like client('127.0.0.3')->greeting, qr/^220/, 'somebody else gets in';
    ok $mta->log_has(qr/ended to make room after DATA .*from unknown\[127\.0\.0\.2\]/), 'in place of one of them';
    my ($told) = IO::Select->new(map { $_->{sock} } @greedy)->can_read(20);
    is join('|', map { $_->line } grep { $_->{sock} == $told } @greedy), '421 4.3.2 mx.gate.test Error: too busy for a silent client', 'which is told';
    undef @greedy;
    ok $mta->log_has(qr/disconnect from unknown\[127\.0\.0\.[2-9]\]/, times => 17), 'all are gone';
    @greedy = map { client('127.0.0.2') } 1 .. 6;
};

$mta->stop;
is join('|', map { $_->line } @greedy), join('|', ('421 4.3.2 mx.gate.test Service shutting down') x 6), 'the idle hear of the end';
done_testing;
