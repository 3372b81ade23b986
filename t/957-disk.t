#!/usr/bin/perl
# t/957-disk.t - every single system call of a daemon that touches the disk fails once, with ENOSPC and with EIO, while it handles a message: the first
# open, the second, and so on until a message came through untouched. What was answered with 250 arrives whole, what was not is nowhere, and the
# next message goes through. Then a file system is really full. GP_ALL=1: all daemons and kinds of calls, with a table (make disk).
use strict;
use warnings;
use Gatepost::Load;
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use POSIX qw(EIO ENOSPC);
use Test::More;

plan skip_all => 'a preload and the sanitizers do not go together' if Gatepost::Test::build() =~ /asan/;
my $ALL = $ENV{GP_ALL};
my %errors = (ENOSPC => ENOSPC, EIO => EIO);
my @classes = qw(open write sync rename link unlink);

# Who fails, and the recipient whose mail passes through it.
my @roles = (
    [ 'cleanup', 'bob@relay.test' ], [ 'qmgr', 'late@relay.test' ], [ 'smtp', 'bob@relay.test' ], [ 'bounce', 'gone@relay.test' ],
    [ 'virtual', 'joe@box.test' ],   [ 'pickup', 'bob@relay.test' ], [ 'smtpd', 'bob@relay.test' ],
);
my %quick = map { $_ => 1 } ('cleanup open', 'cleanup write', 'cleanup sync', 'qmgr rename', 'qmgr unlink', 'bounce write');

# ---- calls that fail: which one is in a page of memory that test and daemons share ----

my $dir = File::Temp::tempdir('gatepost-disk.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $page = "$dir/page";
use constant { PAGE => 'l l l l Z32', SIZE => 48 };    # class, which, error, calls seen, daemon
spew($page, "\0" x SIZE, 0666);

sub arm {
    my ($role, $class, $which, $error) = @_;
    open my $f, '+<:raw', $page or die "$page: $!";
    syswrite $f, pack PAGE, $class, $which, $error, 0, $role;
}
sub disarm { arm('', 0, 0, 0) }
sub seen { return (unpack PAGE, slurp($page))[3] }

spew("$dir/shim.c", <<"END");
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
enum { OPEN = 1, WRITE, SYNC, RENAME, LINK, UNLINK };
static struct { int class, which, error; _Atomic int seen; char role[32]; } *page;
__attribute__((constructor)) static void start(void)
{
	int fd = open("$page", O_RDWR | O_CLOEXEC);
	page = mmap(0, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
}
static int fails(int class)
{
	if (page == NULL || page == MAP_FAILED || page->class != class || strcmp(page->role, program_invocation_short_name) != 0 || ++page->seen != page->which)
		return 0;
	errno = page->error;
	return 1;
}
static int is_file(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;
}
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE va_list ap; int mode; va_start(ap, flags); mode = va_arg(ap, int); va_end(ap)
#define MAKES(flags) ((flags & (O_WRONLY | O_RDWR)) || strncmp(path, "/proc", 5) != 0)
int open64(const char *path, int flags, ...) { MODE; return MAKES(flags) && fails(OPEN) ? -1 : NEXT(open64)(path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE; return fails(OPEN) ? -1 : NEXT(openat64)(at, path, flags, mode); }
ssize_t write(int fd, const void *p, size_t n) { return is_file(fd) && fails(WRITE) ? -1 : NEXT(write)(fd, p, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { return is_file(fd) && fails(WRITE) ? -1 : NEXT(writev)(fd, v, n); }
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) { return is_file(fd) && fails(WRITE) ? -1 : NEXT(pwrite64)(fd, p, n, at); }
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at) { return is_file(fd) && fails(WRITE) ? -1 : NEXT(pwritev64)(fd, v, n, at); }
int ftruncate64(int fd, off64_t n) { return is_file(fd) && fails(WRITE) ? -1 : NEXT(ftruncate64)(fd, n); }
int fsync(int fd) { return fails(SYNC) ? -1 : NEXT(fsync)(fd); }
int rename(const char *a, const char *b) { return fails(RENAME) ? -1 : NEXT(rename)(a, b); }
int renameat2(int d, const char *a, int e, const char *b, unsigned f) { return fails(RENAME) ? -1 : NEXT(renameat2)(d, a, e, b, f); }
int link(const char *a, const char *b) { return fails(LINK) ? -1 : NEXT(link)(a, b); }
int unlink(const char *a) { return fails(UNLINK) ? -1 : NEXT(unlink)(a); }
END
system("cc -D_GNU_SOURCE -shared -fPIC -w -o '$dir/shim.so' '$dir/shim.c'") == 0 or die 'no preload';

# ---- the sweep ----

my $sink = Gatepost::Sink->new(rcpt => { 'gone@relay.test' => '550 5.1.1 gone' });
my $boxes = File::Temp::tempdir('gatepost-boxes.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0777, $boxes;
my ($uid, $gid) = $> == 0 ? (getpwnam Gatepost::Test::owner())[ 2, 3 ] : ($>, $) + 0);
my $late = Gatepost::Sink->new(on => { RCPT => '451 4.3.0 later' });
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => {
    import_environment => "LD_PRELOAD=$dir/shim.so", service_throttle_time => '1s', transport_retry_time => '1s', cleanup_workers => 1, smtpd_workers => 1,
    virtual_mailbox_domains => 'box.test', virtual_mailbox_base => $boxes, virtual_mailbox_maps => 'inline:{ joe@box.test=joe/ }',
    virtual_uid_maps => "static:$uid", virtual_gid_maps => "static:$gid", virtual_minimum_uid => 1,
    transport_maps => 'inline:{ late@relay.test=smtp:[127.0.0.1]:' . $late->port . ' }', maximal_queue_lifetime => '1d',
})->start;

# What came out for that recipient under that name, and whether all of it is whole.
sub copies {
    my ($to, $name) = @_;
    my @all = $to eq 'joe@box.test' ? map { slurp($_) } glob("$boxes/joe/new/*")
        : map { $_->{content} } grep { $to ne 'gone@relay.test' || $_->{mail} =~ /^<>/ } $sink->messages;
    return grep { /^Subject: \Q$name\E\r?$/m || (/MAILER-DAEMON/ && /\Q$name\E/) } @all;
}

sub submit {
    my ($role, $to, $name) = @_;
    my $text = Gatepost::Load::text($name);
    if ($role eq 'pickup') {
        local $mta->{stdin} = 1;
        open my $in, '|-', $mta->sendmail('-f', 'ann@relay.test', $to) or die "sendmail: $!";
        print $in $text;
        return close $in ? '250 taken' : '451 not taken';
    }
    return eval { $mta->smtp(patience => 30)->mail($to eq 'gone@relay.test' ? 'ann@relay.test' : 'ann@a.test', $to, $text) } // '';
}

my (@table, $number);
for my $row (@roles) {
    my ($role, $to) = @$row;
    for my $class (1 .. @classes) {
        my $kind = $classes[ $class - 1 ];
        next unless $ALL || $quick{"$role $kind"};
        subtest "$role: $kind" => sub {
            my %count = (swept => 0, acked => 0, lost => 0, torn => 0, ghosts => 0, stuck => 0);
            for my $error (sort keys %errors) {
                for (my $which = 1; $which <= 40; $which++) {
                    my $name = sprintf 'm%05d', ++$number;
                    arm($role, $class, $which, $errors{$error});
                    my $reply = submit($role, $to, $name);
                    my $acked = $reply =~ /^250/;
                    my $out = sub { $to eq 'late@relay.test' ? $mta->queued('deferred') || $mta->queued('active') : copies($to, $name) };
                    wait_for($out, 1) if $acked;
                    my $hit = seen() >= $which;
                    disarm();
                    if ($to eq 'late@relay.test') {
                        like $reply, qr/^250/, "$name taken";
                        $mta->gatepost('delete', 'ALL');
                    }
                    $mta->gatepost('queue', '--flush') if $acked && !$out->();
                    $count{swept}++ if $hit;
                    $count{acked}++ if $acked;
                    like $reply, qr/^(?:250|4\d\d) /, "$error at $kind $which: $reply" or $count{refused}++;
                    if ($acked && $to ne 'late@relay.test' && !wait_for(sub { copies($to, $name) }, 90)) {
                        $count{lost}++;
                        diag "$name: $error at $kind $which of $role: lost";
                    }
                    $count{ghosts}++ if !$acked && copies($to, $name);
                    $count{torn}++ if grep { !/end of \Q$name\E\r?\n/ } copies($to, $name);
                    last unless $hit;
                }
            }
            my $empty = $mta->wait_empty(30);
            is_deeply [ @count{qw(lost torn ghosts)} ], [ 0, 0, 0 ], 'none lost, none torn, none that was put off is there';
            ok $empty, 'the queue is empty' or diag join ' ', $mta->queued;
            like submit($role, 'bob@relay.test', my $after = "after-$role-$kind"), qr/^250/, 'the next one';
            ok wait_for(sub { copies('bob@relay.test', $after) }, 30), 'goes through';
            push @table, sprintf '| %s | %s | %d | %d | %d | %d |', $role, $kind, @count{qw(swept acked lost torn)};
        };
    }
}
diag join "\n", '| daemon | calls | failed | acknowledged | lost | damaged |', '|---|---|---|---|---|---|', @table if $ALL;
$mta->stop(deaths => 1);

subtest 'a file system that is full' => sub {
    my $m = Gatepost::Test->new(sink => $sink->port, main_cf => { message_size_limit => 1_000_000 });
    my $queue = $m->dir . '/queue';
    mkdir $queue;
    plan skip_all => 'no file system of our own' if system("mount -t tmpfs -o size=16m,mode=755 gatepost-test '$queue' 2>/dev/null") != 0;
    eval {
        $m->start;
        my $load = Gatepost::Load->new(mta => $m, sink => $sink, lines => 2000);
        my $round = $load->start;
        ok $load->wait_sessions($round, 6), 'clients deliver';
        open my $filler, '>', "$queue/filler" or die "filler: $!";
        my $refused = sub { grep { $_->{reply} =~ /^4\d\d 4\./ } $load->sessions($round) };
        ok wait_for(sub { 1 while syswrite $filler, "\0" x 4096; $refused->() >= 12 }, 60), 'it fills up: they are told to come back';
        close $filler;
        unlink "$queue/filler";
        ok wait_for(sub { $load->session('probe')->{reply} =~ /^250/ }, 30), 'there is room again: mail is taken';
        $load->stop;
        is scalar(grep { $_->{reply} !~ /^(?:250|4\d\d) / } $load->sessions($round)), 0, 'and nobody anything else';
        is join(' ', $load->lost($round)), '', 'nothing is lost';
        ok $m->wait_empty(30), 'the queue is empty' or diag join ' ', $m->queued;
        $m->stop;
        1;
    } or fail "died: $@";
    system('umount', $queue);
};
done_testing;
