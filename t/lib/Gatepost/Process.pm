package Gatepost::Process;

# Helper processes of a test: started, ended by pid, waited for by what they do and not by the clock.
use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(free_port wait_for wait_port spawn finish finish_milter slurp spew);

# A port nobody listens on now, below those that the system gives to connections: nobody connects from it before it is used.
sub free_port {
    for (1 .. 100) {
        my $port = 10240 + int rand 22000;
        return $port if IO::Socket::INET->new(LocalPort => $port, Listen => 1);
    }
    die "no free port: $!";
}

# Ask again until the answer is true; gives it back, or nothing when the seconds are over.
sub wait_for {
    my ($what, $seconds) = @_;
    my $end = time + ($seconds // 20);
    while (1) {
        my $got = $what->();
        return $got if $got;
        return if time > $end;
        sleep 0.02;
    }
}

sub wait_port {
    my ($port, $seconds) = @_;
    return wait_for(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1) }, $seconds);
}

# Run a program, its output in a file; returns the pid.
sub spawn {
    my ($output, @command) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $output or POSIX::_exit(127);
    open STDERR, '>&', \*STDOUT;
    exec { $command[0] } @command or POSIX::_exit(127);
}

# End a child and wait for it; the hard way after some seconds.
sub finish {
    my ($pid, $seconds) = @_;
    return unless $pid && kill 0, $pid;
    kill 'TERM', $pid;
    return if wait_for(sub { waitpid($pid, WNOHANG) != 0 }, $seconds // 10);
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

# libmilter looks every five seconds whether it is to end, and when somebody connects.
sub finish_milter {
    my ($pid, $port) = @_;
    return unless $pid && kill 'TERM', $pid;
    IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1);
    finish($pid);
}

sub slurp {
    open my $f, '<:raw', $_[0] or return '';
    local $/;
    return <$f> // '';
}

sub spew {
    my ($path, $text, $mode) = @_;
    open my $f, '>:raw', $path or die "$path: $!";
    print $f $text;
    close $f or die "$path: $!";
    chmod $mode // 0644, $path;
}

1;
