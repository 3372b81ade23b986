#!/usr/bin/perl
# t/960-reload.t - reload, new programs and stop while clients are in the middle of their messages: a reload costs no session anything, also when it
# brings other binaries; a stop loses nothing.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $CLIENTS = 20;
my $sink = Gatepost::Sink->new;
my $programs = tempdir('gatepost-programs.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $programs;
my $built = Gatepost::Test::build() . '/libexec/gatepost';
system('cp', '-R', '-P', "$built/.", $programs) == 0 or die 'no copy of the programs';
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { daemon_directory => $programs })->start;
my $main = $$;
my @clients;

END {
    if ($$ == $main) {
        local $?;
        kill 'KILL', $_ for @clients;
        waitpid $_, 0 for @clients;
    }
}

# One transaction whose content takes its time; the last reply.
sub slowly {
    my ($c, $name) = @_;
    for my $command ('MAIL FROM:<ann@a.test>', 'RCPT TO:<bob@relay.test>', 'DATA') {
        my $r = $c->say($command);
        return $r unless $r =~ /^[23]/;
    }
    $c->send_raw("Subject: reload\r\nX-Name: $name\r\n\r\n");
    for (1 .. 5) {
        sleep 0.04;
        $c->send_raw("line of $name\r\n" x 20);
    }
    return $c->send_raw("end of $name\r\n.\r\n")->reply;
}

# A file that tells the clients to end; a signal would interrupt their reading.
sub over { return $mta->dir . "/$_[0].over" }

# Sessions of three messages, one after the other until told to end. A line of the book is "ok NAME", or what went wrong.
sub client {
    my ($round, $who) = @_;
    open my $book, '>>', $mta->dir . "/$round" or die "$round: $!";
    $book->autoflush(1);
    for (my $n = 0; !-e over($round); $n++) {
        my $c = eval { $mta->smtp } or syswrite($book, "no connection\n"), sleep(0.1), next;
        for my $m (1 .. 3) {
            my $reply = slowly($c, "$round.$who.$n.$m");
            syswrite $book, $reply =~ /^250/ ? "ok $round.$who.$n.$m\n" : "$reply\n";
            last if $reply !~ /^250/;
        }
        $c->quit;
    }
}

sub start_clients {
    my ($round) = @_;
    for my $who (1 .. $CLIENTS) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            eval { client($round, $who) };
            POSIX::_exit($@ ? 1 : 0);
        }
        push @clients, $pid;
    }
}

sub end_clients {
    spew(over($_[0]), '');
    waitpid $_, 0 for splice @clients;
}

sub book { my ($round) = @_; return split /\n/, slurp($mta->dir . "/$round") }

# Every acknowledged message is there once, whole.
sub arrived {
    my ($round) = @_;
    my @acked = map { /^ok (\S+)/ ? $1 : () } book($round);
    my %times;
    my $done = wait_for(sub {
        %times = ();
        for my $m ($sink->messages) {
            my ($name) = $m->{content} =~ /^X-Name: (\Q$round\E\.\S+)\r$/m or next;
            $times{$name}++ if $m->{content} =~ /^end of \Q$name\E\r\n\z/m;
        }
        return !grep { !$times{$_} } @acked;
    }, 30);
    ok $done, 'all ' . @acked . ' acknowledged messages arrived' or diag join ' ', grep { !$times{$_} } @acked;
    is_deeply [ grep { $times{$_} > 1 } sort keys %times ], [], 'none twice';
    ok $mta->wait_empty(30), 'the queue is empty' or diag join ' ', $mta->queued;
}

subtest 'reload' => sub {
    start_clients('reload');
    my ($reloads, $end) = (0, time + 5);
    while (time < $end) {
        my ($code, $text) = $mta->gatepost('reload');
        $code == 0 or diag "reload: $code $text";
        $reloads += $code == 0;
        sleep 0.1;
    }
    end_clients('reload');
    cmp_ok $reloads, '>', 5, "$reloads reloads";
    is_deeply [ grep { !/^ok / } book('reload') ], [], 'no session noticed';
    arrived('reload');
};

# As a package does it: the new file beside the old one, then in its place.
sub replace_programs {
    for my $old (grep { -f && !-l } glob "$programs/*") {
        system('cp', $old, "$old.new") == 0 && rename("$old.new", $old) or die "$old: $!";
    }
}

# Daemons (all but master) whose program is not there any more.
sub outdated { return grep { $_ != $mta->master_pid && (readlink "/proc/$_/exe" // '') =~ /\(deleted\)$/ } $mta->pids }

subtest 'new programs' => sub {
    start_clients('upgrade');
    ok wait_for(sub { scalar grep { /^ok / } book('upgrade') }), 'clients are at work';
    replace_programs();
    cmp_ok scalar(outdated()), '>', 3, 'daemons run the old ones';
    is(($mta->gatepost('reload'))[0], 0, 'reload');
    ok wait_for(sub { !outdated() }, 15), 'soon none does' or diag map { slurp("/proc/$_/comm") . readlink "/proc/$_/exe" } outdated();
    ok wait_for(sub { $mta->log =~ /master is still the old one/ }), 'master, which is, says so';
    my $before = () = book('upgrade');
    ok wait_for(sub { my $now = () = book('upgrade'); $now > $before + $CLIENTS }), 'and clients go on';
    end_clients('upgrade');
    is_deeply [ grep { !/^ok / } book('upgrade') ], [], 'no session noticed';
    arrived('upgrade');
};

subtest 'stop' => sub {
    start_clients('stop');
    for (1 .. 3) {
        sleep 1;
        my $began = time;
        is(($mta->gatepost('stop'))[0], 0, 'stopped');
        cmp_ok time - $began, '<', 10, 'soon';
        ok wait_for(sub { ($mta->gatepost('start'))[0] == 0 }, 10), 'started';
    }
    end_clients('stop');
    my @refused = grep { !/^ok / } book('stop');
    is_deeply [ grep { !/^421 4\.3\.2 .*shutting down$|^no connection$|^$/ } @refused ], [], 'told to come again, if anything';
    arrived('stop');
};

subtest 'twice' => sub {
    my $pid = $mta->master_pid;
    isnt(($mta->gatepost('start'))[0], 0, 'a second master is refused');
    is $mta->master_pid, $pid, 'the first one goes on';
    is slowly($mta->smtp, 'twice') =~ /^250/, 1, 'serving';
    ok $mta->wait_empty(10), 'the queue is empty';
};

$mta->stop;
done_testing;
