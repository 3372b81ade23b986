#!/usr/bin/perl
# t/250-filter-failures.t - a filter that fails, in each way and at each stage: its default action, one line in the log with its name and the
# stage, no message lost or half changed, and the filter before it has done its work.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::MilterServer qw(packet add);
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;

my %stage = (O => 'OPTNEG', C => 'CONNECT', H => 'HELO', M => 'MAIL', R => 'RCPT', T => 'DATA', L => 'HEADER', N => 'EOH', B => 'BODY', E => 'BODYEOB');

# way => what the filter says instead of an answer, what the log says about it
my %ways = (
    'closes'          => [ 'CLOSE', "can't read SMFIC_%s reply packet header: " ],
    'says nothing'    => [ '', "can't read SMFIC_%s reply packet header: Connection timed out" ],
    'breaks off'      => [ "\0\0\0\x10yabc", "can't read SMFIC_%s reply packet data: Connection timed out" ],
    'huge packet'     => [ "\x7f\xff\xff\xffc", 'unreasonable packet length: 2147483647 > \d+ after event SMFIC_%s' ],
    'empty packet'    => [ "\0\0\0\0", 'unreasonable packet length: 0 > \d+ after event SMFIC_%s' ],
    'unknown reply'   => [ packet('Z'), 'unexpected filter response 0x5a after event SMFIC_%s' ],
    'malformed reply' => [ packet('y', "hello\0"), 'malformed reply: hello\S* after event SMFIC_%s' ],
);

# What only the end of a message can go wrong with; the filter had asked for changes before.
my %requests = (
    'a name that is none'       => [ packet('h', "X Y\0z\0"), 'bad header name: header name "X Y", index \d+ after event SMFIC_BODYEOB' ],
    'a position below all'      => [ packet('i', "\xff\xff\xff\xffX-Y\0z\0"), 'bad header index: header name "X-Y", index -1 after event SMFIC_BODYEOB' ],
    'a header without an end'   => [ packet('h', "X-Y\0z"), 'unexpected filter response SMFIR_ADDHEADER after event SMFIC_BODYEOB' ],
    'two bodies'                => [ packet('b', 'one') . packet('q', "x\0") . packet('b', 'two'), "body replacement requests can't be mixed" ],
    'an answer for another day' => [ packet('O', 'x'), 'unexpected filter response \S+ after event SMFIC_BODYEOB' ],
);

my $sink = Gatepost::Sink->new;
my ($good, $bad) = map { Gatepost::MilterServer->new } 1 .. 2;
$good->script(on => { E => add('X-Good', 'yes') . packet('c') });

my $dead = 'inet:127.0.0.1:' . free_port();
my $name = $bad->endpoint;
my @actions = qw(tempfail reject accept quarantine shutdown);
my %address = do { my $n = 10; map { $_ => '192.0.2.' . ++$n } @actions, 'dead' };
my $settings = 'command_timeout=1s, content_timeout=1s, breaker_time=0';
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { smtpd_milter_maps => 'texthash:$config_directory/filters', smtpd_workers => 1, relay_recipient_maps => '', milter_connection_reuse => 'no' },
    files   => { filters => join '', "$address{dead} ${\ $good->endpoint} { $dead, default_action=tempfail }\n",
            map { "$address{$_} ${\ $good->endpoint} { $name, default_action=$_, $settings }\n" } @actions },
)->start;

# One session with one message, for this action; the first refusal, or the reply to the message.
sub letter {
    my ($action, $subject) = @_;
    my $c = $mta->smtp(silent => 1);
    $c->reply;
    my $greeting = $c->xclient(ADDR => $address{$action});
    $c->hello;
    my $reply = $c->mail('ann@far.test', 'bob@relay.test', "Subject: $subject\n\nhello\n");
    $c->say('QUIT');
    return $reply;
}

# The warnings that a piece of code led to.
sub warnings_of {
    my ($code) = @_;
    my $before = length $mta->log;
    $code->();
    my $new = wait_for(sub { my $l = substr $mta->log, $before; $l =~ /disconnect from/ && $l }) // '';
    return $new =~ /warning: (.*)/g;
}

my $count = 0;

# on: what the filter does. The message is put off; the same with "accept" is delivered, as the other filter left it.
sub check {
    my ($on, $log, $code) = @_;
    my $subject = 'message' . ++$count;
    my $reply;
    $bad->script(on => $on);
    my @warnings = warnings_of(sub { $reply = letter('tempfail', $subject) });
    like $reply, $code, 'the client is told to come back';
    is @warnings, 1, 'one line' or diag join "\n", @warnings;
    like $warnings[0] // '', qr/^milter \Q$name\E: $log/, 'that says who and when';
    like letter('accept', "$subject.accepted"), qr/^250 /, 'accept';
    my $m = $sink->wait_message(qr/^Subject: $subject\.accepted\r$/m);
    like $m->{content}, qr/^X-Good: yes\r$/m, 'the other filter was heard';
    unlike $m->{content}, qr/^X-Bad/m, 'of this one nothing is left';
    ok !(grep { $_->{content} =~ /^Subject: $subject\r$/m } $sink->messages), 'what was put off was not delivered';
}

for my $way (sort keys %ways) {
    my ($says, $log) = @{ $ways{$way} };
    my $code = $way eq 'malformed reply' ? qr/^451 4\.3\.5 / : qr/^451 4\.7\.1 /;
    for my $command ('C', 'E', $way eq 'closes' ? qw(O H M R T L N B) : ()) {
        my $first = $command eq 'E' && $says ne 'CLOSE' ? add('X-Bad', 'yes') : '';
        subtest "$way at $stage{$command}" => sub { check({ $command => "$first$says" }, sprintf($log, $stage{$command}), $code) };
    }
}

for my $what (sort keys %requests) {
    my ($says, $log) = @{ $requests{$what} };
    subtest $what => sub { check({ E => add('X-Bad', 'yes') . $says . packet('c') }, $log, qr/^451 4\.[37]\.[15] /) };
}

subtest 'nobody is there' => sub {
    my $reply;
    my @warnings = warnings_of(sub { $reply = letter('dead', 'dead') });
    like $reply, qr/^451 4\.7\.1 /, 'the client is told to come back';
    is_deeply \@warnings, ["connect to Milter service $dead: Connection refused"], 'one line says why';
};

subtest 'every default action, at the first message and at its end' => sub {
    my %wanted = (
        reject     => qr/^550 5\.5\.0 Service unavailable$/,
        tempfail   => qr/^451 4\.7\.1 Service unavailable - try again later$/,
        shutdown   => qr/^421 4\.7\.1 Service unavailable - try again later$/,
        accept     => qr/^250 2\.0\.0 /,
        quarantine => qr/^250 2\.0\.0 /,
    );
    for my $command (qw(M E)) {
        $bad->script(on => { $command => 'CLOSE' });
        like letter($_, "action-$_-$command"), $wanted{$_}, "$_ at $stage{$command}" for @actions;
    }
    is scalar(@{ [ $mta->queued('hold') ] }), 2, 'quarantine: both are held';
    ok $sink->wait_message(qr/^Subject: action-accept-$_\r$/m), "accept at $stage{$_}: delivered" for qw(M E);
};

is scalar($mta->pids('smtpd')), 1, 'the worker that began is still there';
unlike $mta->log, qr/panic|signal/, 'nobody died';
$mta->stop;
done_testing;
