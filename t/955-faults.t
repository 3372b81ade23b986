#!/usr/bin/perl
# t/955-faults.t - a disk that fails: errors of fsync, of writing, of opening and of renaming, put into the running daemons by strace, and a damaged
# queue file. Nothing is acknowledged that is not on disk, nothing acknowledged is lost, and when the trouble is over mail flows again.
use strict;
use warnings;
use Gatepost::Process qw(spawn wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;
use Time::HiRes qw(sleep);

my ($strace) = grep { -x } map { "$_/strace" } split /:/, $ENV{PATH};
plan skip_all => 'no strace' unless $strace;
plan skip_all => 'strace and the sanitizers do not go together' if Gatepost::Test::build() =~ /asan/;
my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { process_confinement => 'no', cleanup_workers => 1, smtpd_workers => 1, service_throttle_time => '1s', transport_retry_time => '1s' },
)->start;

sub mail { my ($name) = @_; return $mta->smtp->mail('ann@a.test', 'bob@relay.test', "Subject: $name\n\ntext\n") }
sub arrived { my ($name) = @_; return scalar grep { $_->{content} =~ /^Subject: $name\r?$/m } $sink->messages }

like mail('first'), qr/^250/, 'it works';
ok $sink->wait_message(qr/^Subject: first/m), 'delivered';

# Run code while the daemon's system calls fail.
sub with_fault {
    my ($daemon, $inject, $code) = @_;
    my $out = $mta->dir . '/strace';
    unlink $out;
    my $pid = spawn("$out.err", $strace, '-f', '-o', $out, '-e', 'trace=' . ($inject =~ /^([\w,]+)/)[0], '-e', "inject=$inject", map { ('-p', $_) } $mta->pids($daemon));
    my $attached = wait_for(sub {
        for my $p ($mta->pids($daemon)) {
            open my $f, '<', "/proc/$p/status" or return 0;
            return 0 unless grep { /^TracerPid:\s*[1-9]/ } <$f>;
        }
        return 1;
    });
    plan skip_all => 'strace may not attach' unless $attached;
    $code->();
    kill 'INT', $pid;
    waitpid $pid, 0;
}

for my $case (
    [ 'fsync fails with EIO',      'fsync,fdatasync:error=EIO' ],
    [ 'the disk is full',          'pwrite64,pwritev,pwritev2:error=ENOSPC' ],
    [ 'quota is used up',          'pwrite64,pwritev,pwritev2:error=EDQUOT' ],
    [ 'no descriptor is left',     'openat:error=EMFILE' ],
    [ 'the file system is read-only', 'openat:error=EROFS' ],
  )
{
    my ($what, $inject) = @$case;
    subtest "cleanup: $what" => sub {
        (my $name = $what) =~ s/\W+/-/g;
        with_fault('cleanup', $inject, sub { like mail($name), qr/^4\d\d /, 'the client is asked to try again' });
        ok $mta->wait_empty, 'no file is left';
        like mail("$name-again"), qr/^250/, 'and when that is over it works';
        ok $sink->wait_message(qr/^Subject: $name-again/m), 'delivered';
        is arrived($name), 0, 'what was not acknowledged did not arrive';
    };
}

for my $case (
    [ 'unlink fails',              'unlink,unlinkat:error=EIO:when=1' ],
    [ 'rename fails',              'rename,renameat,renameat2:error=ENOSPC:when=1' ],
    [ 'status cannot be written',  'pwrite64,pwritev:error=ENOSPC:when=1' ],
    [ 'no descriptor is left',     'openat:error=EMFILE:when=1..3' ],
  )
{
    my ($what, $inject) = @$case;
    subtest "qmgr: $what" => sub {
        (my $name = "qmgr $what") =~ s/\W+/-/g;
        with_fault('qmgr', $inject, sub {
            like mail($name), qr/^250/, 'accepted';
            ok $sink->wait_message(qr/^Subject: $name/m), 'delivered';
        });
        ok $mta->wait_empty(30), 'and in the end done with' or diag join ' ', $mta->queued;
        cmp_ok arrived($name), '<=', 2, 'at worst twice';
    };
}

subtest 'a damaged file' => sub {
    like mail('intact'), qr/^250/, 'one';
    $mta->stop;
    my @made;
    for my $how (0 .. 2) {
        my $path = $mta->dir . "/queue/active/4DAMAGED00z$how";
        open my $f, '>', $path or die "$path: $!";
        print $f $how == 0 ? '' : $how == 1 ? "\0" x 4096 : join '', map { chr int rand 256 } 1 .. 3000;
        chown +(stat $mta->dir . '/queue/active')[ 4, 5 ], $f;
        close $f;
        push @made, "4DAMAGED00z$how";
    }
    $mta->start;
    ok wait_for(sub { scalar($mta->queued('corrupt')) == 3 }), 'set aside';
    ok $mta->log_has(qr/warning: saving corrupt file "$_" from queue "active" to queue "corrupt"/), "$_ is named" for @made;
    like mail('after'), qr/^250/, 'it stops nothing';
    ok $sink->wait_message(qr/^Subject: $_/m), "$_ is delivered" for qw(intact after);
    unlink $mta->dir . "/queue/corrupt/$_" for @made;
};

$mta->stop;
done_testing;
