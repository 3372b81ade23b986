#!/usr/bin/perl
# t/950-crash.t - processes die in the middle of work (kill -9, one role after the other, at last master and everything): what was answered with 250
# arrives. GP_ROUNDS=30: all of it thirty times (make crash).
use strict;
use warnings;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my ($CLIENTS, $EACH) = (4, 25);
my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { service_throttle_time => '1s', transport_retry_time => '1s' })->start;
my $acked = $mta->dir . '/acked';
my $main = $$;
my @clients;

END {
    if ($$ == $main) {
        local $?;
        kill 'KILL', $_ for @clients;
        waitpid $_, 0 for @clients;
    }
}

# A client that goes on until all of its messages are acknowledged; one line of the file an acknowledgement.
sub client {
    my ($round, $who) = @_;
    open my $book, '>>', $acked or die "$acked: $!";
    $book->autoflush(1);
    for my $n (1 .. $EACH) {
        my $name = "$round.$who.$n";
        my $text = "Subject: crash\nX-Name: $name\n\n" . "line of $name\n" x 50 . "end of $name\n";
        for (;;) {
            my $reply = eval { $mta->smtp(patience => 10)->mail("c$who\@a.test", 'bob@relay.test', $text) } // '';
            last if $reply =~ /^250/ && syswrite $book, "$name\n";
            sleep 0.02;
        }
    }
}

sub start_clients {
    my ($round) = @_;
    for my $who (1 .. $CLIENTS) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            eval { client($round, $who) };
            warn $@ if $@;
            POSIX::_exit($@ ? 1 : 0);
        }
        push @clients, $pid;
    }
}

sub acked { my ($round) = @_; return grep { /^\Q$round\E\./ } split /\n/, slurp($acked) }

# How often each message of the round came out at the other end; a damaged one counts as none.
sub arrived {
    my ($round) = @_;
    my %times;
    for my $m ($sink->messages) {
        my ($name) = $m->{content} =~ /^X-Name: (\Q$round\E\.\S+)\r$/m or next;
        $times{$name}++ if $m->{content} =~ /\r\nend of \Q$name\E\r\n\z/ && 50 == (() = $m->{content} =~ /^line of \Q$name\E\r$/mg);
    }
    return \%times;
}

# Some processes of master may be about to end; a new one is refused until then.
sub start_again {
    return wait_for(sub { ($mta->gatepost('start'))[0] == 0 }, 30);
}

# Complete messages in the queue. What a dead cleanup began and did not finish is none: it stays unseen, and is removed after a minute.
sub whole_files {
    my $queue = $mta->dir . '/queue';
    return grep { slurp($_) =~ /^GPqueue\n/ } map { glob "$queue/$_/*" } qw(incoming active deferred/* corrupt);
}

# A message whose cleanup died before it told qmgr was not acknowledged; a flush lets qmgr look at once and not within a minute.
sub settled {
    $mta->gatepost('queue', '--flush');
    return wait_for(sub { !whole_files() }, 90);
}

for my $round (map { my $n = $_; map { "$_-$n" } qw(cleanup qmgr smtpd smtp trivial-rewrite master everything) } 1 .. $ENV{GP_ROUNDS} // 1) {
    my ($role) = $round =~ /(.*)-/;
    subtest "kill -9 of $round" => sub {
        start_clients($round);
        my @killed;
        for my $at (15, 45, 70) {
            last if $role =~ /^(master|everything)$/ && @killed;
            wait_for(sub { acked($round) >= $at }, 60) or last;
            my @victims = $mta->pids($role eq 'everything' ? () : $role);
            push @killed, kill('KILL', @victims) ? @victims : ();
        }
        cmp_ok scalar @killed, '>', 0, 'killed: ' . scalar @killed;
        ok start_again(), 'started again' if $role =~ /^(master|everything)$/;
        my @failed = grep { waitpid($_, 0); $? != 0 } splice @clients;
        is scalar @failed, 0, 'clients came to their end';
        is scalar(acked($round)), $CLIENTS * $EACH, 'all acknowledged';
        my $times;
        ok wait_for(sub { $times = arrived($round); keys %$times == $CLIENTS * $EACH }, 60), 'none lost, none damaged';
        diag "lost: $_" for grep { !$times->{$_} } acked($round);
        ok settled(), 'the queue is empty' or diag join ' ', whole_files();
        my $again = grep { $_ > 1 } values %$times;
        cmp_ok $again, '<=', 4 * ($role =~ /^(smtp|everything)$/ ? 20 : $CLIENTS), "delivered twice: $again";
    };
}

is join(' ', $mta->queued('corrupt')), '', 'nothing corrupt';
$mta->stop(deaths => 1);
done_testing;
