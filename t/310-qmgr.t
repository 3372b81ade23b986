#!/usr/bin/perl
# t/310-qmgr.t - the queue manager between real cleanup, trivial-rewrite and bounce and delivery agents that do what the recipient's name says:
# retries, suspended destinations, broken agents, expiry, notifications, flushes, limits, a crash, and a change of processes.
use strict;
use warnings;
use Cwd qw(abs_path);
use Fcntl qw(:flock);
use File::Basename qw(dirname);
use File::Find ();
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);

my $top   = dirname(dirname(abs_path(__FILE__)));
my $build = abs_path($ENV{GATEPOST_BUILD} || "$top/build") || '';
my $bin   = "$build/libexec/gatepost";
for my $daemon (qw(qmgr cleanup bounce trivial-rewrite)) {
    plan skip_all => "no $daemon in $build" unless -x "$bin/$daemon";
}

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
    my $b = text($m{id}) . pack('V Q<', 0, time * 1e6) . text($m{sender}) . text($m{envid}) . pack('V', 0) . text('') x 9 . text($m{filter});
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
    take_text($b) for 1 .. 9;
    take_text($b);
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
    for (qw(maildrop incoming active deferred hold corrupt pid private public)) {
        mkdir "$m->{q}/$_";
        chown $uid, $gid, "$m->{q}/$_";
    }
    %conf = (
        queue_directory => $m->{q}, data_directory => "$dir/data", myhostname => 'mx.test', mydestination => '', mail_owner => $owner,
        relay_domains => 'relay.test, r2.test, own.test, nt.test', inet_protocols => 'ipv4', transport_maps => 'inline:{nt.test=nosuch:}',
        queue_run_delay => '2s', minimal_backoff_time => '3s', maximal_backoff_time => '6s', maillog_file => "$dir/log", notify_classes => '',
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
            POSIX::close($_) for 5 .. 301;
            POSIX::open('/dev/null') == 5 or POSIX::_exit(1); # where master's memory for counters is
            open STDERR, '>>', "$m->{dir}/stderr";
            exec "$bin/$program", '-c', "$m->{dir}/conf", '-n', $name, '-s', 1 or POSIX::_exit(1);
        }
        close $theirs;
        $m->{pids}{$name}    = $pid;
        $m->{control}{$name} = $ours;
        sysread($ours, my $ready, 1) or die "$program did not start: " . slurp("$m->{dir}/stderr") . slurp("$m->{dir}/log");
    }
}

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
    my $envelope = pack('V', 0) . message(id => $id, sender => $o{sender} // 's@own.test', rcpts => $rcpts, envid => $o{envid}, filter => $o{filter})
        . pack('V', 0) . text('Received: x') . text('') x 3 . pack('V', 0) . "\0";
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
my ($FLUSH, $FLUSH_ID) = (1, 2);
sub all_fine { my ($m) = @_; open my $f, '>', "$m->{dir}/fine" }

# ---- the facts ----
subtest 'delivered, bounced, retried' => sub {
    my $m = start(instance());
    my $id = mail($m, ['a@relay.test']);
    ok(seen($m, qr/qmgr\[\d+\]: $id: from=<s\@own\.test>, size=\d+, nrcpt=1 \(queue active\)/), 'taken up');
    ok(seen($m, qr/$id: removed/), 'removed');
    $id = mail($m, ['no@relay.test', 'b@relay.test'], envid => 'E1');
    ok(seen($m, qr/bounce\[\d+\]: $id: sender non-delivery notification: \w+/), 'the sender is told');
    ok(seen($m, qr/from=<>, size=\d+, nrcpt=1 \(queue active\)/),               'by mail from the null sender');
    ok(seen($m, qr/$id: removed/), 'removed');
    my ($b) = grep { $_->[3] eq 's@own.test' } deliveries($m);
    ok($b, 'the notification is delivered');
    $id = mail($m, ['busy@relay.test', 'c@relay.test']);
    ok(seen($m, qr/$id: from=.*nrcpt=1 \(queue active\)/), 'retried for the one that is left');
    is(scalar(grep { $_ eq 'c@relay.test' } map { @$_ } deliveries($m)), 1, 'the other one is not delivered again');
    my @files = files($m);
    like("@files", qr{^(deferred/[0-9a-f]{8}|active)/$id$}, 'one file');
    $id = mail($m, ['d@relay.test', 'e@r2.test'], filter => 'other:[127.0.0.1]:10025');
    ok(seen($m, qr/$id: removed/), 'filtered');
    my @d = deliveries($m, 'other');
    ok(@d == 1 && $d[0][2] eq '[127.0.0.1]:10025' && @{ $d[0] } == 5, 'content filter: all recipients in one delivery');
    stop($m);
};

subtest 'broken agents' => sub {
    my $m = start(instance());
    my $none = mail($m, ['a@nt.test']);
    ok(seen($m, qr/$none: to=<a\@nt\.test>, relay=none, delay=\S+, delays=\S+, dsn=4\.3\.0, status=deferred \(mail transport unavailable\)/), 'no such transport');
    my $id = mail($m, ['crash@relay.test', 'ok@relay.test']);
    ok(seen($m, qr/$id: to=<crash\@relay\.test>, relay=none, .* dsn=4\.3\.0, status=deferred \(unknown mail transport error\)/), 'crash');
    ok(seen($m, qr/warning: transport relay failure -- see a previous/), 'warned of');
    my $id2 = mail($m, ['x@relay.test']);
    ok(seen($m, qr/$id2: to=<x\@relay\.test>, relay=none, .*\(unknown mail transport error\)/), 'the transport rests');
    all_fine($m);
    ok(seen($m, qr/$_: removed/), 'delivered later') for $id, $id2;
    stop($m);
};

subtest 'a destination that is down' => sub {
    my $m = start(instance(relay_initial_destination_concurrency => 1, minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my $id = mail($m, ['down@relay.test']);
    ok(seen($m, qr/$id: from/), 'taken up');
    sleep 1;
    my $id2 = mail($m, ['ok@relay.test']);
    ok(seen($m, qr/$id2: to=<ok\@relay\.test>, relay=none, .* dsn=4\.4\.1, status=deferred \(delivery temporarily suspended: connect to mx\[192\.0\.2\.1\]:25: Connection refused\)/),
        'suspended without trying');
    ok(seen($m, qr/${\mail($m, ['ok@r2.test'])}: removed/), 'another destination is not');
    all_fine($m);
    sleep 1;
    command($m, $FLUSH);
    ok(seen($m, qr/$_: removed/, 1, 8), 'flush forgets that it was down') for $id, $id2;
    stop($m);
};

subtest 'expiry, null sender, NOTIFY' => sub {
    my $m = start(instance(maximal_queue_lifetime => 0, bounce_queue_lifetime => 0));
    my $id = mail($m, ['busy@relay.test']);
    ok(seen($m, qr/$id: from=<s\@own\.test>, status=expired, returned to sender/), 'expired');
    ok(seen($m, qr/$id: sender non-delivery notification/),                        'the sender is told');
    ok(seen($m, qr/$id: removed/), 'removed');
    $id = mail($m, ['no@relay.test'], sender => '');
    ok(seen($m, qr/$id: removed/), 'null sender: removed');
    unlike(logged($m), qr/$id: \w+ non-delivery notification/, 'and nobody is told');
    $id = mail($m, [['no@relay.test', 1]]);
    ok(seen($m, qr/$id: removed/), 'NOTIFY=NEVER: removed');
    unlike(logged($m), qr/$id: sender/, 'and nobody is told');
    $id = mail($m, [['ok@relay.test', 2]]);
    ok(seen($m, qr/$id: sender delivery status notification/), 'NOTIFY=SUCCESS');
    ok(seen($m, qr/$id: removed/), 'removed');
    is_deeply([files($m)], [], 'nothing is left') or diag logged($m);
    stop($m);
};

subtest 'postmaster, soft bounce, delay warning' => sub {
    my $m = start(instance(notify_classes => '2bounce', myorigin => 'own.test'));
    my $id = mail($m, ['no@relay.test'], sender => '');
    ok(seen($m, qr/$id: postmaster non-delivery notification: /), 'double bounce');
    ok(seen($m, qr/from=<double-bounce\@mx\.[a-z.]+>/), 'from an address that is never answered');
    $id = mail($m, ['no@relay.test'], sender => (logged($m) =~ m{from=<(double-bounce\@[^>]+)>})[0]);
    ok(seen($m, qr/warning: $id: undeliverable postmaster notification discarded/), 'indeed');
    ok(seen($m, qr/$id: removed/), 'removed');
    stop($m);
    $m = start(instance(soft_bounce => 'yes', delay_warning_time => '1s'));
    $id = mail($m, ['no@relay.test']);
    ok(seen($m, qr/$id: sender delay notification/), 'delay warning, of a failure that soft_bounce made a deferral');
    ok(seen($m, qr/$id: from/, 4), 'tried again');
    is(scalar(() = logged($m) =~ /$id: sender delay notification/g), 1, 'warned once');
    stop($m);
};

subtest 'deferred transports and flushes' => sub {
    my $m = start(instance(defer_transports => 'relay', minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my ($one, $two) = map { mail($m, ['a@relay.test']) } 1 .. 2;
    ok(seen($m, qr/$_: to=<a\@relay\.test>, .* dsn=4\.3\.2, status=deferred \(deferred transport\)/), 'deferred') for $one, $two;
    sleep 1;
    command($m, $FLUSH_ID, $one);
    ok(seen($m, qr/$one: removed/, 1, 8), 'flush of one');
    unlike(logged($m), qr/$two: removed/, 'is of one');
    command($m, $FLUSH);
    ok(seen($m, qr/$two: removed/, 1, 8), 'flush of all');
    stop($m);
};

subtest 'limits and turns' => sub {
    my $m = start(instance(relay_destination_recipient_limit => 2, relay_destination_concurrency_limit => 3,
        relay_initial_destination_concurrency => 3, qmgr_message_active_limit => 20));
    my $large = mail($m, [map { "slow0.02x$_\@relay.test" } 1 .. 300]);
    sleep 0.3;
    my $small = mail($m, ['q@relay.test']);
    ok(seen($m, qr/$small: removed/), 'a small message');
    unlike(logged($m), qr/$large: removed/, 'does not wait for the large one');
    my @ids = map { mail($m, ["slow0.05x$_\@r2.test"]) } 1 .. 60;
    ok(seen($m, qr/$large: removed/, 1, 30), 'which comes to its end');
    my %count;
    $count{$_}++ for map { my @d = @$_; @d[3 .. $#d] } grep { $_->[1] eq $large } deliveries($m);
    is(scalar keys %count,                     300, 'all recipients');
    is(scalar(grep { $_ != 1 } values %count), 0,   'once');
    ok(seen($m, qr/: removed/, 62, 30), 'more than fit into the active queue at once');
    stop($m);
    $m = start(instance(relay_destination_rate_delay => '1s'));
    mail($m, ["a$_\@relay.test"]) for 1 .. 3;
    ok(seen($m, qr/: removed/, 3), 'rate delay');
    my @t = map { $_->[0] } deliveries($m);
    ok($t[1] - $t[0] > 0.9 && $t[2] - $t[1] > 0.9, 'one a second');
    stop($m);
};

subtest 'unreadable files' => sub {
    my $m = instance();
    start_daemon($m, qw(rewrite cleanup bounce));
    my ($bad, $good) = map { mail($m, ['a@relay.test']) } 1 .. 2;
    my $torn = '4TORN000z1';
    open my $f, '+<', "$m->{q}/incoming/$bad" or die $!;
    seek $f, 140, 0;
    print $f 'X';
    close $f;
    rename "$m->{q}/incoming/$bad", "$m->{q}/active/$bad";
    open $f, '>', "$m->{q}/incoming/$torn" or die $!;
    print $f substr slurp("$m->{q}/incoming/$good"), 0, 150;
    chown $uid, $gid, $f;
    close $f;
    open $f, '>', "$m->{q}/incoming/4OLD000z1" or die $!;
    chown $uid, $gid, $f;
    utime 1, 1, $f;
    close $f;
    start_daemon($m, 'qmgr');
    ok(seen($m, qr/warning: saving corrupt file "$bad" from queue "active" to queue "corrupt"/), 'damaged');
    ok(seen($m, qr/removing incomplete file incoming\/4OLD000z1/), 'incomplete for more than a day');
    ok(seen($m, qr/$good: removed/), 'the good one is delivered');
    is_deeply([files($m)], ["corrupt/$bad", "incoming/$torn"], 'a torn one waits');
    stop($m);
};

subtest 'killed, and replaced' => sub {
    my $m = start(instance());
    my @ids = map { mail($m, ["slow4x$_\@relay.test"]) } 1 .. 4;
    sleep 2.5;
    kill 'KILL', $m->{pids}{qmgr};
    waitpid $m->{pids}{qmgr}, 0;
    open my $held, '+<', "$m->{q}/active/$ids[0]" or die "$ids[0]: $!";    # as an agent does that is still at work
    flock $held, LOCK_EX;
    push @ids, mail($m, ['late@relay.test']);
    start_daemon($m, 'qmgr');
    ok(seen($m, qr/$ids[0]: skipped, still being delivered/), 'running deliveries are not repeated');
    close $held;
    ok(seen($m, qr/$ids[4]: removed/), 'mail that came meanwhile is found');
    ok(seen($m, qr/$_: removed/, 1, 30), 'taken up in the end') for @ids;
    is_deeply([files($m)], [], 'nothing is left');
    @ids = map { mail($m, ["slow3x$_\@relay.test"]) } 1 .. 4;
    push @ids, map { mail($m, ["slow0.1x$_\@relay.test"]) } 1 .. 100;
    my $old = $m->{pids}{qmgr};
    kill 'TERM', $old;
    start_daemon($m, 'qmgr');
    push @ids, map { mail($m, ["n$_\@relay.test"]) } 1 .. 20;
    ok(seen($m, qr/$_: removed/, 1, 30), "replaced: $_ delivered") for @ids[-1, 0 .. 3];
    my %mine = map { $_ => 0 } @ids;
    sleep 0.2 for grep { !seen($m, qr/$_: removed/, 1, 30) } @ids;
    $mine{ $_->[1] }++ for grep { exists $mine{ $_->[1] } } deliveries($m);
    is(scalar(grep { $_ != 1 } values %mine), 0, 'each once, whoever did it');
    waitpid $old, 0;
    is($?, 0, 'the old one left');
    stop($m);
};

done_testing();
