#!/usr/bin/perl
# t/260-filter-chains.t - what a list of filters can say beyond their endpoints: groups that look at once, shadows, budgets, breakers, what may
# be changed; filters that look while the client still sends; and every kind of socket.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Socket::IP;
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::MilterServer qw(packet add insert change NR_ALL);
use Gatepost::Process qw(wait_for);
use Gatepost::Sink;
use Gatepost::Test;

my @f    = map { Gatepost::MilterServer->new } 1 .. 3;
my @e    = map { $_->endpoint } @f;
my $unix = Gatepost::MilterServer->new(at => 'unix');
my $v6   = IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1) ? Gatepost::MilterServer->new(at => 'inet6') : undef;

my @no_body = (actions => 0x1fd);

# A client's address chooses the chain.
my %chains = (
    parallel => "parallel { $e[0] { $e[1] } $e[2] }",
    serial   => "$e[0], $e[1]",
    shadow   => "{ $e[0], shadow=yes }, $e[1]",
    budget   => "{ $e[0], budget=2s, on_failure=accept }, $e[1]",
    breaker  => "{ $e[2], command_timeout=1s, breaker_failures=2, breaker_time=1h, default_action=accept }, $e[1]",
    changes  => "{ $e[0], changes=envelope, { default_action = reject } }, $e[1]",
    stream   => "{ $e[0], changes=none }, $e[1]",
    unix     => $unix->endpoint,
    local    => $unix->endpoint =~ s/^unix/local/r,
    inet6    => $v6 ? $v6->endpoint : 'DISABLE',
    none     => 'DISABLE',
    broken   => 'inet:127.0.0.1:25, nonsense',
);
my %address = do { my $n = 10; map { $_ => '192.0.2.' . ++$n } sort keys %chains };

my $sink = Gatepost::Sink->new;
my $mta  = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { smtpd_milter_maps => 'texthash:$config_directory/filters', smtpd_milters => 'inet:127.0.0.1:1', non_smtpd_milters => $e[2], smtpd_workers => 1,
            relay_recipient_maps => '', milter_connection_reuse => 'no', mynetworks => '192.0.2.0/24' },
    master_cf => "explain unix n - n - 0 explain\n",
    files   => { filters => join '', map { "$address{$_} $chains{$_}\n" } sort keys %chains },
)->start;

# Greeted, as the client that this chain is for.
sub client {
    my ($chain) = @_;
    my $c = $mta->smtp(silent => 1);
    $c->reply;
    $c->xclient(ADDR => $address{$chain});
    $c->hello;
    return $c;
}

# A session with one message: the first refusal, or the reply to the message.
sub letter {
    my ($chain, $subject, $more) = @_;
    my $c = client($chain);
    my $reply = $c->mail('ann@far.test', 'bob@relay.test', "Subject: $subject\n" . ($more // '') . "\nhello\n");
    $c->say('QUIT');
    return $reply;
}

# The header fields that the recipient got, ours and the client's aside.
sub arrived {
    my ($subject) = @_;
    my $m = $sink->wait_message(qr/^Subject: \Q$subject\E/m) or return 'nothing';
    return join ' ', $m->{content} =~ /^(X-\w+: \w+)/mg;
}

sub log_line {
    my ($match) = @_;
    $mta->log_has($match);
    return $mta->log =~ /^.*?: (\w+: milters: .*$match.*)$/m ? $1 : '';
}

subtest 'a group hears it at once, and changes are made in configured order' => sub {
    # None of them changes the body: else they would have to wait for each other.
    # Each answers when another one has heard the end: no order one after the other could do that. The first answers last.
    $f[0]->script(@no_body, on => { E => { after => $f[1], told => 'E', say => add('X-A', 'one') . packet('c') } });
    $f[1]->script(@no_body, on => { E => { after => $f[2], told => 'E', say => add('X-B', 'two') . packet('c') } });
    $f[2]->script(@no_body, on => { E => add('X-C', 'three') . packet('c') });
    like letter('parallel', 'parallel'), qr/^250 /, 'all have agreed';
    is arrived('parallel'), 'X-A: one X-B: two X-C: three', 'and what they changed is there, in order';
    like log_line(qr/\Q$e[0]\E continue delay=\d+\.\d{3} changes=\+X-A; \Q$e[1]\E continue delay=\d+\.\d{3} changes=\+X-B; /), qr/changes=\+X-C$/, 'the log tells it';
    $f[2]->script(@no_body, on => { E => packet('y', "550 5.7.9 no\0") });
    $f[0]->script(@no_body, on => { E => { after => $f[2], told => 'E', say => packet('c') } });
    is letter('parallel', 'refused'), '550 5.7.9 no', 'one that refuses is heard';
};

subtest 'in a list each hears what those before made of it' => sub {
    $f[0]->script(on => { E => add('X-A', 'one') . change(1, 'X-Old', '') . packet('c') });
    $f[1]->script(on => { E => packet('c') });
    $_->records for @f;
    like letter('serial', 'serial', "X-Old: z\n"), qr/^250 /, 'taken';
    is arrived('serial'), 'X-A: one', 'changed';
    my ($seen) = $f[1]->records(1);
    like $seen, qr/^L X-A\|one/m, 'the second saw what the first added';
    unlike $seen, qr/^L X-Old/m, 'and not what it removed';
};

subtest 'a shadow is heard, and not obeyed' => sub {
    $f[0]->script(on => { E => add('X-A', 'one') . packet('r') });
    $f[1]->script(on => { E => add('X-B', 'two') . packet('c') });
    like letter('shadow', 'shadow'), qr/^250 /, 'its refusal does not count';
    is arrived('shadow'), 'X-B: two', 'nor do its changes';
    like log_line(qr/\Q$e[0]\E reject/), qr/changes=\+X-A \(shadow\); \Q$e[1]\E continue/, 'the log has both';
};

subtest 'a budget for one message' => sub {
    $f[0]->script(on => { M => [ 0.5, packet('c') ], R => '', E => add('X-A', 'one') . packet('c') });
    like letter('budget', 'budget'), qr/^250 /, 'goes on without it';
    is arrived('budget'), 'X-B: two', 'only the other one had a say';
    ok $mta->log_has(qr/warning: milter \Q$e[0]\E: can't read SMFIC_RCPT reply packet header: Connection timed out \(its budget for a message is used up\)/), 'the log says why';
    like log_line(qr/\Q$e[0]\E failed/), qr/failed at=RCPT delay=\d\.\d{3}/, 'and how long that was';
};

subtest 'one that keeps everybody waiting is left alone for a while' => sub {
    $f[2]->script(on => { M => '' });
    like letter('breaker', "breaker$_"), qr/^250 /, "message $_" for 1, 2;
    ok $mta->log_has(qr/milter \Q$e[2]\E: 2 failures in a row: not asked for 3600 s/), 'the log says so';
    $f[2]->records;
    like letter('breaker', 'breaker3'), qr/^250 /, 'the next one';
    is arrived('breaker3'), 'X-B: two', 'is looked at by the other';
    is scalar($f[2]->records), 0, 'and by nobody else';
};

subtest 'what a filter may change' => sub {
    $f[0]->script(on => { E => packet('+', "more\@relay.test\0") . packet('c') });
    like letter('changes', 'envelope'), qr/^250 /, 'the envelope';
    ok $sink->wait_message(qr/^Subject: envelope/m), 'is delivered';
    $f[0]->script(on => { E => add('X-A', 'one') . packet('c') });
    like letter('changes', 'header'), qr/^550 5\.5\.0 /, 'and nothing else';
    ok $mta->log_has(qr/warning: milter \Q$e[0]\E: SMFIR_ADDHEADER after event SMFIC_BODYEOB, which was not negotiated or is forbidden by "changes"/), 'the log says why';
};

subtest 'filters look while the client still sends' => sub {
    $_->script for @f[ 0, 1 ];
    $_->records for @f[ 0, 1 ];
    my $c = client('stream');
    $c->say($_) for 'MAIL FROM:<ann@far.test>', 'RCPT TO:<bob@relay.test>', 'DATA';
    $c->send_raw("Subject: stream\r\n\r\n" . ('x' x 70 . "\r\n") x 4000);
    for my $i (0, 1) {
        ok wait_for(sub { $f[$i]->so_far =~ /^B \[65535 octets\]/m }), "filter $i has heard of the body";
        unlike $f[$i]->so_far, qr/^E/m, 'and not of its end';
    }
    like $c->send_raw(".\r\n")->reply, qr/^250 /, 'taken';
    ok wait_for(sub { $f[$_]->so_far =~ /^E/m }), "then of the end" for 0, 1;
    $c->say('QUIT');
};

subtest 'kinds of sockets' => sub {
    $unix->script(on => { E => add('X-A', 'unix') . packet('c') });
    like letter($_, "socket-$_"), qr/^250 /, $_ for qw(unix local none);
    is arrived("socket-$_"), 'X-A: unix', "$_: asked" for qw(unix local);
    is arrived('socket-none'), '', 'DISABLE: nobody asked';
    like letter('broken', 'broken'), qr/^451 4\.3\.5 /, 'a list that makes no sense: mail is put off';
    ok $mta->log_has(qr/warning: smtpd_milter_maps: 192\.0\.2\.\d+: bad milter endpoint "nonsense"/), 'and the log says why';
    SKIP: {
        skip 'no IPv6 here', 2 unless $v6;
        $v6->script(on => { E => add('X-A', 'six') . packet('c') });
        like letter('inet6', 'socket-inet6'), qr/^250 /, 'inet6';
        is arrived('socket-inet6'), 'X-A: six', 'asked';
    }
};

subtest 'the story of a message has every verdict' => sub {
    $f[0]->script(on => { M => packet('c'), R => packet('y', "450 4.2.0 not now\0"), L => packet('s') });
    like letter('serial', 'story'), qr/^450 4\.2\.0 not now/, 'one refuses a recipient';
    my $story = sub { ($mta->gatepost('explain', $address{serial}))[1] };
    my $time = qr/, \d+\.\d{3} ms$/m;
    ok wait_for(sub { $story->() =~ /filter \Q$e[0]\E reply=450 at=RCPT \(not now\)$time/ }), 'with its words';
    like $story->(), qr/filter \Q$e[$_]\E continue at=MAIL$time/, 'both have agreed to the sender' for 0, 1;
    like $story->(), qr/filter \Q$e[0]\E continue changes=\+X-A,-X-Old$time/, 'and the changes of an earlier message';
};

subtest 'mail that comes without SMTP' => sub {
    $f[2]->script(on => { E => add('X-C', 'local') . packet('c') });
    open my $in, '|-', $mta->sendmail('-f', 'ann@far.test', 'bob@relay.test') or die "sendmail: $!";
    print $in "Subject: sendmail\n\nhello\n";
    close $in;
    is arrived('sendmail'), 'X-C: local', 'has filters of its own';
};

$mta->stop;
done_testing;
