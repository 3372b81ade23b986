#!/usr/bin/perl
# t/958-limits.t - a daemon meets its limits while clients deliver: no descriptor more than it has, no memory more, files no longer than they are, no
# thread more. Clients are told to come back or lose the connection, nothing acknowledged is lost, and when there is room again, mail flows.
# GP_ALL=1: every daemon and limit, with a table (make limits).
use strict;
use warnings;
use Gatepost::Load;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my ($prlimit) = grep { -x } map { "$_/prlimit" } split /:/, $ENV{PATH};
plan skip_all => 'no prlimit' unless $prlimit;
my $ALL = $ENV{GP_ALL};
my $DURING = $ALL ? 30 : 8;

sub open_files { my ($pid) = @_; return scalar(my @all = glob "/proc/$pid/fd/*") }
sub status { my ($pid, $what) = @_; return slurp("/proc/$pid/status") =~ /^$what:\s+(\d+)/m ? $1 : 0 }

# Where it is when the trouble begins; what a process has it keeps.
my %limits = (
    nofile => sub { open_files($_[0]) + 1 },
    as     => sub { status($_[0], 'VmSize') * 512 },
    fsize  => sub { 512 },
    nproc  => sub { 1 },
);
my @daemons = qw(smtpd cleanup qmgr smtp trivial-rewrite bounce policyd pickup master);
my %quick = map { $_ => 1 } ('smtpd nofile', 'cleanup fsize', 'cleanup nofile', 'qmgr as');
my $asan = Gatepost::Test::build() =~ /asan/; # which takes address space as it likes

my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { service_throttle_time => '1s', transport_retry_time => '1s',
    smtpd_recipient_restrictions => 'check_greylist', greylist_delay => '0' })->start;
my $load = Gatepost::Load->new(mta => $mta, sink => $sink, clients => 4, lines => 40_000);

# As the process's own user, who may: root may not everywhere.
sub set_limit {
    my ($what, $value, $pid) = @_;
    my ($uid, $gid) = (status($pid, 'Uid'), status($pid, 'Gid'));
    my $child = fork // die "fork: $!";
    if (!$child) {
        open STDERR, '>', '/dev/null';
        ($(, $)) = ($gid, "$gid $gid");
        POSIX::setuid($uid);
        exec $prlimit, '--pid', $pid, "--$what=$value:" or POSIX::_exit(1);
    }
    waitpid $child, 0;
    return $? == 0;
}

my %row = (nofile => 'Max open files', as => 'Max address space', fsize => 'Max file size', nproc => 'Max processes');
sub limit_of { my ($pid, $what) = @_; return slurp("/proc/$pid/limits") =~ /^$row{$what} +(\w+)/m ? $1 : 'unlimited' }

my @table;
for my $what (sort keys %limits) {
    for my $daemon (@daemons) {
        next unless $ALL || $quick{"$daemon $what"};
        next if $asan && $what eq 'as';
        subtest "$daemon: $what" => sub {
            my $round = $load->start;
            ok $load->wait_sessions($round, 8), 'clients deliver';
            my $broken = time;
            my @pids = $mta->pids($daemon);
            my %before = map { $_ => limit_of($_, $what) } @pids;
            my @there = grep { set_limit($what, $limits{$what}->($_), $_) } @pids;
            ok @there > 0, 'the limit is there';
            ok $load->wait_sessions($round, $DURING, $broken), 'clients go on';
            my $mended = time;
            my @left = grep { -e "/proc/$_" } @there;
            set_limit($what, $before{$_}, $_) for @left;
            ok wait_for(sub { $load->session('probe')->{reply} =~ /^250/ }, 60), 'there is room again: mail is taken';
            my $back = time - $mended;
            $load->stop;
            my @during = grep { $_->{began} > $broken && $_->{began} + $_->{took} < $mended } $load->sessions($round);
            my @odd = grep { $_->{reply} !~ /^(?:250 |4\d\d |$)/ } $load->sessions($round);
            is scalar @odd, 0, 'nobody is refused' or diag map { "$_->{name} $_->{reply}\n" } @odd;
            my @lost = $load->lost($round);
            is scalar @lost, 0, 'nothing is lost' or diag "@lost";
            my %n = (250 => 0, 4 => 0, gone => 0);
            $n{ $_->{reply} =~ /^250/ ? 250 : $_->{reply} =~ /^4/ ? 4 : 'gone' }++ for @during;
            push @table, sprintf '| %s | %s | %d | %d | %d | %d | %d of %d | %.1f s |', $daemon, $what, @n{qw(250 4 gone)}, scalar @lost, @there - @left,
                scalar @there, $back;
        };
    }
}
ok $mta->wait_empty(60), 'the queue is empty' or diag join ' ', $mta->queued;
diag join "\n", '| daemon | limit | 250 | 4xx | connection lost | lost | ended | well after |', '|---|---|---|---|---|---|---|---|', @table if $ALL;
unlike $mta->log, qr/killed by signal (?!9)|panic: /, 'no daemon died of a signal';
$mta->stop(deaths => 1);
done_testing;
