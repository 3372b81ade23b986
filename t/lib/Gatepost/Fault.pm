package Gatepost::Fault;

# System calls of a running daemon that fail, put there by strace.
#
#   with_fault($mta, 'cleanup', 'fsync,fdatasync:error=EIO', sub { ... });
#   with_fault($mta, 'virtual', 'write:error=ENOSPC', sub { ... }, $path); # of that file only
use strict;
use warnings;
use Exporter qw(import);
use Gatepost::Process qw(slurp spawn wait_for);
use Gatepost::Test;
use Test::More ();

our @EXPORT_OK = qw(need_faults with_fault);

my ($strace) = grep { -x } map { "$_/strace" } split /:/, $ENV{PATH};

# Before anything else: the file is left out where there is no strace.
sub need_faults {
    Test::More::plan(skip_all => 'no strace') unless $strace;
    Test::More::plan(skip_all => 'strace and the sanitizers do not go together') if Gatepost::Test::build() =~ /asan/;
}

# Run code while they fail, in the children, too.
sub with_fault {
    my ($mta, $daemon, $inject, $code, $path) = @_;
    my $out = $mta->dir . '/strace';
    unlink $out;
    my @only = defined $path ? ('-P', $path) : ();
    my $pid = spawn("$out.err", $strace, '-f', '-o', $out, '-e', 'trace=' . ($inject =~ /^([\w,]+)/)[0], '-e', "inject=$inject", @only,
        map { ('-p', $_) } $mta->pids($daemon));
    my $attached = wait_for(sub {
        for my $p ($mta->pids($daemon)) {
            return 0 unless slurp("/proc/$p/status") =~ /^TracerPid:\s*[1-9]/m;
        }
        return 1;
    });
    Test::More::plan(skip_all => 'strace may not attach') unless $attached;
    $code->();
    kill 'INT', $pid;
    waitpid $pid, 0;
}

1;
