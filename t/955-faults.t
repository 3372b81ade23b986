#!/usr/bin/perl
# t/955-faults.t - a disk that fails: errors of fsync, of writing, of opening and of renaming, put into the running daemons by strace, and a damaged
# queue file; a clock that is set. Nothing is acknowledged that is not on disk, nothing acknowledged is lost, and when the trouble is over mail flows again.
use strict;
use warnings;
use Gatepost::Fault qw(need_faults with_fault);
use Gatepost::Process qw(spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;
use Time::HiRes qw(sleep);

need_faults();
my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { process_confinement => 'no', cleanup_workers => 1, smtpd_workers => 1, service_throttle_time => '1s', transport_retry_time => '1s' },
)->start;

sub mail { my ($name) = @_; return $mta->smtp->mail('ann@a.test', 'bob@relay.test', "Subject: $name\n\ntext\n") }
sub arrived { my ($name) = @_; return scalar grep { $_->{content} =~ /^Subject: $name\r?$/m } $sink->messages }

like mail('first'), qr/^250/, 'it works';
ok $sink->wait_message(qr/^Subject: first/m), 'delivered';

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
        with_fault($mta, 'cleanup', $inject, sub { like mail($name), qr/^4\d\d /, 'the client is asked to try again' });
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
        with_fault($mta, 'qmgr', $inject, sub {
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

# The wall clock of the daemons is ours, and so many seconds ahead as a file says. 
my $shift = $mta->dir . '/shift';
spew($shift, pack 'q', 0);

# In place: it is mapped.
sub set_clock {
    open my $f, '+<:raw', $shift or die "$shift: $!";
    syswrite $f, pack 'q', $_[0];
}
spew("$shift.c", <<"END");
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
static const volatile long long *ahead;
__attribute__((constructor)) static void start(void)
{
	ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, open("$shift", O_RDONLY | O_CLOEXEC), 0);
}
int clock_gettime(clockid_t which, struct timespec *t)
{
	int r = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(which, t);
	if (r == 0 && which == CLOCK_REALTIME && ahead != MAP_FAILED)
		t->tv_sec += *ahead;
	return r;
}
time_t time(time_t *t)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return t ? (*t = now.tv_sec) : now.tv_sec;
}
END
system('cc', '-D_GNU_SOURCE', '-shared', '-fPIC', '-o', "$shift.so", "$shift.c") == 0 or die 'no preload';

subtest 'the clock is set' => sub {
    my $late = Gatepost::Sink->new(rcpt => { 'bob@late.test' => '451 4.3.0 later' });
    my $m = Gatepost::Test->new(sink => $sink->port, main_cf => { import_environment => "LD_PRELOAD=$shift.so", maximal_queue_lifetime => '2h',
        transport_maps => 'inline:{ late.test=smtp:[127.0.0.1]:' . $late->port . ' }', relay_domains => 'relay.test, late.test' })->start;
    my $tries = sub { my $n = () = $late->heard =~ /RCPT TO/g; return $n };
    like $m->smtp->mail('ann@a.test', 'bob@late.test', "Subject: waits\n\ntext\n"), qr/^250/, 'one that has to wait';
    ok wait_for(sub { $tries->() > 0 }), 'is tried';
    my @names;
    for my $step (3600, 0, -3600, 0, 86_400, 0, -86_400, 0) {
        my $name = 'clock-' . @names;
        my $c = $m->smtp;
        $c->say($_) for 'MAIL FROM:<ann@a.test>', 'RCPT TO:<bob@relay.test>', 'DATA';
        my $before = $tries->();
        set_clock($step);
        like $c->send_raw("Subject: $name-open\r\n\r\ntext\r\n.\r\n")->reply, qr/^250/, "the clock is $step seconds ahead: the open session goes on";
        like $m->smtp->mail('ann@a.test', 'bob@relay.test', "Subject: $name\n\ntext\n"), qr/^250/, 'mail is taken';
        ok wait_for(sub { $tries->() > $before }, 15), 'what waits is tried again';
        push @names, "$name-open", $name;
    }
    ok $sink->wait_message(qr/^Subject: $_\r?$/m), "$_ is delivered" for @names;
    ok wait_for(sub { $m->queued == 1 }), 'the one that waits is left' or diag join ' ', $m->queued;
    unlike $m->log, qr/status=(?:expired|bounced)/, 'and not too old';
    $m->stop;
};

done_testing;
