package Gatepost::QueueManager;

# The queue manager between real cleanup, trivial-rewrite and bounce, started the way master does it, and delivery agents that do what the
# recipient's name says: busy... no... down... crash... slow<seconds>x...; once there is the file "fine" everything succeeds.
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Find ();
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(instance start start_daemon stop slurp logged seen files mail command deliveries requests wait_until all_fine own FLUSH FLUSH_ID FLUSH_SITE);
use constant { FLUSH => 1, FLUSH_ID => 2, FLUSH_SITE => 4 };

my $top   = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $build = abs_path($ENV{GATEPOST_BUILD} || "$top/build") || '';
my $bin   = "$build/libexec/gatepost";
my $main_pid = $$;
my $owner    = $> == 0 ? 'nobody' : getpwuid($>);
my ($uid, $gid) = (getpwnam $owner)[2, 3];
$SIG{PIPE} = 'IGNORE';

# ---- frames: u32 length, then numbers (little endian) and texts (u32 length, bytes) ----
sub text  { my ($s) = @_; return pack('V/a*', $s // '') }
sub code  { my ($smtp, $c, $s, $d) = @_; return pack('v v v v', $smtp, $c, $s, $d) }
sub frame { return pack('V/a*', join '', @_) }

sub read_frame {
    my ($s) = @_;
    my ($buf, $want) = ('', 4);
    while (length $buf < $want) {
        my $n = sysread $s, $buf, $want - length $buf, length $buf;
        return undef unless $n;
        $want = 4 + unpack 'V', $buf if length $buf == 4;
    }
    return substr $buf, 4;
}

sub take_number { my ($b, $n) = @_; my $v = 0; $v |= ord(substr $$b, $_, 1) << 8 * $_ for 0 .. $n - 1; substr $$b, 0, $n, ''; return $v }
sub take_text   { my ($b) = @_; my $n = take_number($b, 4); return substr $$b, 0, $n, '' }

sub message {
    my (%m) = @_;
    my $b = text($m{id}) . pack('V Q<', 0, time * 1e6) . text($m{sender}) . text($m{envid}) . pack('V', 0) . text('') x 9 . text($m{filter}) . text($m{verp});
    $b .= pack('Q<7', (0) x 7) . pack('V', scalar @{ $m{rcpts} });
    for my $r (@{ $m{rcpts} }) {
        my ($addr, $notify) = ref $r ? @$r : ($r, 0);
        $b .= text($addr) . text('') . text('') . pack('V C Q< V', $notify, 0, 0, 0);
    }
    return $b;
}

sub parse_message {
    my ($b) = @_;
    my %m = (id => take_text($b));
    take_number($b, 12);
    $m{sender} = take_text($b);
    take_text($b);
    take_number($b, 4);
    take_text($b) for 1 .. 11;
    take_number($b, 56);
    for (1 .. take_number($b, 4)) {
        push @{ $m{rcpts} }, take_text($b);
        take_text($b) for 1 .. 2;
        take_number($b, 17);
    }
    return \%m;
}

# ---- an instance: daemons started the way master does, agents of ours ----
sub new_instance {
    my (%conf) = @_;
    my $dir = tempdir('gatepost-qmgr.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $m = { dir => $dir, q => "$dir/queue", pids => {}, children => [] };

    chmod 0755, $dir;
    mkdir "$dir/$_" for qw(conf queue data);
    chown $uid, $gid, $dir, "$dir/data";
    for (qw(maildrop incoming active deferred hold corrupt flush pid private public)) {
        mkdir "$m->{q}/$_";
        chown $uid, $gid, "$m->{q}/$_";
    }
    %conf = (
        queue_directory => $m->{q}, data_directory => "$dir/data", myhostname => 'mx.test', mydestination => '', mail_owner => $owner,
        relay_domains => 'relay.test, r2.test, own.test, nt.test', inet_protocols => 'ipv4', transport_maps => 'inline:{nt.test=nosuch:}',
        queue_run_delay => '1s', minimal_backoff_time => '1s', maximal_backoff_time => '2s', maillog_file => "$dir/log", notify_classes => '',
        default_transport => 'relay', relay_transport => 'relay', transport_retry_time => '3s', %conf
    );
    open my $f, '>', "$dir/conf/main.cf" or die $!;
    print $f map { "$_ = $conf{$_}\n" } sort keys %conf;
    close $f;
    open $f, '>', "$dir/conf/master.cf" or die $!;
    print $f "relay unix - - n - 10 smtp\nother unix - - n - 10 smtp\n";
    close $f;
    for (['qmgr', 'public'], ['cleanup', 'private'], ['rewrite', 'private'], ['bounce', 'private'], ['relay', 'private'], ['other', 'private']) {
        my ($name, $place) = @$_;
        $m->{listen}{$name} = IO::Socket::UNIX->new(Local => "$m->{q}/$place/$name", Listen => 500) or die "$name: $!";
        chmod 0666, "$m->{q}/$place/$name";
    }
    start_agent($m, $_) for qw(relay other);
    return $m;
}

sub start_daemon {
    my ($m, @names) = @_;
    for my $name (@names) {
        my $program = $name eq 'rewrite' ? 'trivial-rewrite' : $name;
        socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0) or die $!;
        my $pid = fork // die $!;
        if ($pid == 0) {
            POSIX::dup2(fileno $theirs, 300);
            POSIX::dup2(fileno $m->{listen}{$name}, 301);
            POSIX::dup2(300, 3);
            POSIX::dup2(301, 4);
            open my $counters, '+>', undef;    # what master shares with all: more than enough of it
            truncate $counters, 1 << 28;
            POSIX::dup2(fileno $counters, 302);
            POSIX::dup2(302, 5);
            POSIX::close($_) for 6 .. 302;
            open STDERR, '>>', "$m->{dir}/stderr";
            exec "$bin/$program", '-c', "$m->{dir}/conf", '-n', $name, '-s', 1 or POSIX::_exit(1);
        }
        close $theirs;
        $m->{pids}{$name}    = $pid;
        $m->{control}{$name} = $ours;
        sysread($ours, my $ready, 1) or die "$program did not start: " . slurp("$m->{dir}/stderr") . slurp("$m->{dir}/log");
    }
}

sub sbin { return "$build/sbin" }

sub start { my ($m) = @_; start_daemon($m, qw(rewrite cleanup bounce qmgr)); return $m }

sub stop {
    my ($m) = @_;
    for my $pid (values %{ $m->{pids} }, @{ $m->{children} }) {
        kill 'TERM', $pid;
        waitpid $pid, 0;
    }
    $m->{$_} = {} for qw(pids listen control);
    $m->{children} = [];
    is(slurp("$m->{dir}/stderr"), '', 'nothing on standard error');
}

sub slurp { open my $f, '<', $_[0] or return ''; local $/; return <$f> // '' }
sub logged { my ($m) = @_; return slurp("$m->{dir}/log") }

# Wait until the log matches, n times.
sub seen {
    my ($m, $re, $n, $seconds) = @_;
    my $end = time + ($seconds // 15);
    while (time < $end) {
        my $count = () = logged($m) =~ /$re/g;
        return 1 if $count >= ($n // 1);
        sleep 0.03;
    }
    my @lines = split /\n/, logged($m);
    diag join "\n", "not seen: $re", @lines > 15 ? @lines[-15 .. -1] : @lines;
    return 0;
}

sub files {
    my ($m) = @_;
    my @found;
    File::Find::find(sub { push @found, $File::Find::name =~ s{^\Q$m->{q}\E/}{}r if -f || -l }, map { "$m->{q}/$_" } qw(incoming active deferred hold corrupt));
    return sort @found;
}

# ---- agents: what happens to a recipient is in its name; with the file "fine" beside the queue everything succeeds ----
sub result {
    my ($m, $addr) = @_;
    my @busy = (1, code(450, 4, 2, 0), 'mx[192.0.2.1]:25', 'host mx[192.0.2.1] said: 450 4.2.0 busy (in reply to RCPT TO command)', 'mx');
    my @no   = (2, code(550, 5, 1, 1), 'mx[192.0.2.1]:25', 'host mx[192.0.2.1] said: 550 5.1.1 no (in reply to RCPT TO command)',   'mx');
    my @down = (1, code(0,   4, 4, 1), 'none',             'connect to mx[192.0.2.1]:25: Connection refused',                     '');
    my @fine = (0, code(250, 2, 0, 0), 'mx[192.0.2.1]:25', '250 2.0.0 Ok',                                                        'mx');

    return @fine if -e "$m->{dir}/fine";
    sleep $1     if $addr =~ /^slow([\d.]+)x/;
    return $addr =~ /^busy/ ? @busy : $addr =~ /^no/ ? @no : $addr =~ /^down/ ? @down : @fine;
}

sub serve_agent {
    my ($m, $name, $s) = @_;
    while (defined(my $b = read_frame($s))) {
        my $q = parse_message(\$b);
        my ($answer, $site) = (pack('V', scalar @{ $q->{rcpts} }), '');
        open my $log, '>>', "$m->{dir}/agent-$name" or die $!;
        syswrite $log, join(' ', time, $q->{id}, take_text(\$b), @{ $q->{rcpts} }) . "\n";
        open $log, '>>', "$m->{dir}/senders-$name" or die $!;
        syswrite $log, "$q->{id} $q->{sender}\n";
        for my $addr (@{ $q->{rcpts} }) {
            POSIX::_exit(0) if $addr =~ /^crash/ && !-e "$m->{dir}/fine";
            my ($status, $code, $relay, $why, $mta) = result($m, $addr);
            $answer .= pack('C', $status) . $code . text($relay) . text($why) . text($mta) . "\0\0";
            $site = $why if $relay eq 'none';
        }
        $answer .= pack('C', $site ne '') . text($site) . code(0, 4, 4, 1);
        syswrite $s, frame($answer);
    }
    POSIX::_exit(0);
}

sub start_agent {
    my ($m, $name) = @_;
    my $pid = fork // die $!;
    if ($pid == 0) {
        $SIG{CHLD} = 'IGNORE';
        while (1) {
            my $s = $m->{listen}{$name}->accept or next;
            serve_agent($m, $name, $s) if !fork;
            close $s;
        }
    }
    push @{ $m->{children} }, $pid;
}

# Deliveries so far: [time, id, nexthop, recipients...]
sub deliveries { my ($m, $name) = @_; return map { [split] } split /\n/, slurp("$m->{dir}/agent-" . ($name // 'relay')) }

# Deliveries of one message: { sender }
sub requests { my ($m, $id) = @_; return map { /^\Q$id\E (.*)/ ? { sender => $1 } : () } split /\n/, slurp("$m->{dir}/senders-relay") }

sub wait_until {
    my ($sure) = @_;
    for (1 .. 500) {
        return 1 if $sure->();
        sleep 0.03;
    }
    return 0;
}

END {
    if ($$ == $main_pid) {
        local $?;
        for my $m (our @instances) {
            for my $pid (values %{ $m->{pids} }, @{ $m->{children} }) {
                kill 'KILL', $pid;
                waitpid $pid, 0;
            }
        }
    }
}

our @instances;
sub instance { my $m = new_instance(@_); push @instances, $m; return $m }

# ---- mail, through cleanup; commands, to qmgr ----
my $serial = 0;

sub mail {
    my ($m, $rcpts, %o) = @_;
    my $id = sprintf '4TEST%05dz%d', ++$serial, $main_pid;
    my $s = IO::Socket::UNIX->new(Peer => "$m->{q}/private/cleanup") or die $!;
    my $envelope = pack('V', 0) . message(id => $id, sender => $o{sender} // 's@own.test', rcpts => $rcpts, envid => $o{envid}, filter => $o{filter}, verp => $o{verp})
        . pack('V', 0) . text('Received: x') . text('') x 3 . pack('V', 0) . text('') . "\0";
    syswrite $s, frame($envelope) . frame("CSubject: t\r\nMessage-Id: <x\@y.test>\r\n\r\nhello\r\n") . frame('E', pack 'V', 0);
    my $answer = read_frame($s);
    die 'not queued' unless defined $answer && unpack('v', $answer) == 250;
    return $id;
}

sub command {
    my ($m, $kind, $id) = @_;
    my $s = IO::Socket::UNIX->new(Peer => "$m->{q}/public/qmgr") or die $!;
    syswrite $s, frame(pack('C', $kind), text($id));
}
sub own { chown $uid, $gid, @_ }
sub all_fine { my ($m) = @_; open my $f, '>', "$m->{dir}/fine" }

1;
