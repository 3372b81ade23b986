#!/usr/bin/perl
# t/956-mailbox-faults.t - the delivery agents on a disk that fails: errors of each kind of system call while local, virtual and pipe deliver. Every
# one is a deferral, nothing of the attempt stays in the mailbox, and when the trouble is over the message is there once.
use strict;
use warnings;
use Fcntl qw(LOCK_EX LOCK_UN O_RDWR);
use File::Temp qw(tempdir);
use Gatepost::Fault qw(need_faults with_fault);
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Test;
use Test::More;

need_faults();
my ($user) = $> == 0 ? 'nobody' : scalar getpwuid $>;
my $dir = tempdir('gatepost-boxes.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @vmail = $> == 0 ? (2000, 2000) : ($>, $) + 0);
chmod 0755, $dir;
mkdir "$dir/$_" for qw(virtual open);
chown @vmail, "$dir/virtual" if $> == 0;
chmod 0777, "$dir/open";
my ($mbox, $file) = ("$dir/virtual/mbox", "$dir/open/file");

my $mta = Gatepost::Test->new(
    files     => { aliases => "file: $file\ncmd: \"|cat >>$dir/open/cmd\"\n", boxes => "md\@box.test md/\nmbox\@box.test mbox\nnew\@box.test new/\n" },
    master_cf => "cat unix - n n - - pipe user=$user argv=/bin/sh -c { cat >>$dir/open/pipe } sh\n",
    main_cf   => {
        process_confinement     => 'no',
        mydestination           => 'local.test',
        mynetworks              => '127.0.0.0/8',
        default_privs           => $user,
        alias_maps              => 'hash:aliases',
        virtual_mailbox_domains => 'box.test',
        virtual_mailbox_base    => "$dir/virtual",
        virtual_mailbox_maps    => 'hash:boxes',
        virtual_uid_maps        => "static:$vmail[0]",
        virtual_gid_maps        => "static:$vmail[1]",
        virtual_minimum_uid     => 1,
        virtual_mailbox_lock    => 'fcntl, flock',
        deliver_lock_attempts   => 1,
        transport_maps          => 'inline:{ pipe.test=cat: }',
        relay_domains           => 'pipe.test',
        notify_classes          => '',
    },
)->start;

sub content {
    return join '', map { slurp($_) } $mbox, $file, "$dir/open/cmd", "$dir/open/pipe", glob "$dir/virtual/{md,new}/new/*";
}

sub copies { my ($name) = @_; my $n = () = content() =~ /^Subject: $name$/mg; return $n }

# What it said is waited for in the log, and its status and code told.
sub send_and_fail {
    my ($to, $name, $lines) = @_;
    my $from = length $mta->log;
    like $mta->smtp->mail('ann@a.test', $to, "Subject: $name\n\n" . 'text of some length' x 3 . "\n" x ($lines // 1)), qr/^250/, 'accepted';
    my $said;
    wait_for(sub { ($said) = substr($mta->log, $from) =~ /to=<\Q$to\E>.*, dsn=(\S+, status=.*)/ });
    return $said // '';
}

my $count = 0;

sub fault {
    my ($daemon, $to, $inject, $expected, $only, $lines) = @_;
    subtest "$daemon, $to: $inject" => sub {
        my $name = 'fault-' . ++$count;
        my $before = defined $only ? slurp($only) : '';
        with_fault($mta, $daemon, $inject, sub {
            like send_and_fail($to, $name, $lines), $expected, 'has to wait';
            is copies($name), 0, 'nothing of it is there';
            is slurp($only), $before, 'the file is as it was' if defined $only;
        }, $only);
        $mta->gatepost('queue', '--flush');
        ok $mta->wait_empty(30), 'it is delivered when the trouble is over' or diag join ' ', $mta->queued;
        is copies($name), 1, 'once';
        is join(' ', glob "$dir/virtual/{md,new}/tmp/*"), '', 'no half a file';
    };
}

my $unread = qr/^4\.3\.0, status=deferred \(cannot read the message/;

# The first of an agent: no process of the recipient waits for more, one has to be made.
fault('virtual', 'md@box.test',    'clone,fork,vfork:error=EAGAIN', qr/^4\.3\.0, status=deferred \(cannot create a process/);
fault('local',   'cmd@local.test', 'clone,fork,vfork:error=EAGAIN', qr/^4\.3\.0, status=deferred/);
fault('pipe',    'a@pipe.test',    'clone,fork,vfork:error=EAGAIN', qr/^4\.3\.0, status=deferred/);
fault('virtual', 'md@box.test',    'fsync:error=EIO',               qr/^4\.2\.0, status=deferred .*Input\/output error/);
fault('virtual', 'md@box.test',    'sync_file_range,fsync:error=EDQUOT', qr/^4\.2\.2, status=deferred .*quota exceeded/);
fault('virtual', 'md@box.test',    'renameat2:error=ENOSPC',        qr/^4\.3\.1, status=deferred .*No space left/);
fault('virtual', 'md@box.test',    'openat:error=EMFILE',           qr/^4\.3\.0, status=deferred .*Too many open files/);
fault('virtual', 'new@box.test',   'mkdir:error=EDQUOT',            qr/^4\.2\.2, status=deferred .*quota exceeded/);
fault('virtual', 'md@box.test',    'pread64:error=EIO',             $unread);
is send_and_fail('mbox@box.test', 'first'), '2.0.0, status=sent (delivered to mailbox)', 'an mbox with one message';
fault('virtual', 'mbox@box.test',  'write:error=ENOSPC',            qr/^4\.3\.1, status=deferred .*No space left/, $mbox);
fault('virtual', 'mbox@box.test',  'write:error=EDQUOT:when=2',     qr/^4\.2\.2, status=deferred .*quota exceeded/, $mbox, 150_000);
fault('virtual', 'mbox@box.test',  'fsync:error=EIO',               qr/^4\.2\.0, status=deferred .*Input\/output error/, $mbox);
fault('virtual', 'mbox@box.test',  'fcntl:error=ENOLCK',            qr/^4\.2\.0, status=deferred .*unable to lock for exclusive access/, $mbox);
is send_and_fail('file@local.test', 'first'), "2.0.0, status=sent (delivered to file: $file)", 'a file with one message';
fault('local',   'file@local.test', 'write:error=ENOSPC', qr/^4\.3\.1, status=deferred .*No space left/, $file);
fault('local',   'cmd@local.test',  'pipe2,socketpair:error=EMFILE', qr/^4\.3\.0, status=deferred/);
fault('pipe',    'a@pipe.test',     'pread64:error=EIO',            qr/^4\.3\.0, status=deferred/);

subtest 'held by another program' => sub {
    sysopen my $held, $mbox, O_RDWR or die "$mbox: $!";
    flock $held, LOCK_EX;
    like send_and_fail('mbox@box.test', 'locked'), qr/^4\.2\.0, status=deferred .*unable to lock for exclusive access/, 'has to wait';
    is copies('locked'), 0, 'nothing of it is there';
    flock $held, LOCK_UN;
    $mta->gatepost('queue', '--flush');
    ok $mta->wait_empty(30), 'it is delivered when the other is done';
    is copies('locked'), 1, 'once';
};

$mta->stop;
done_testing;
