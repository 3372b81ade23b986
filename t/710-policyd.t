#!/usr/bin/perl
# t/710-policyd.t - the policy daemon over its sockets: tables, DNS lists, SPF, greylisting and rates, with a real Redis and a stub name server.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Net::DNS;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw(sleep time);

my $top   = dirname(dirname(abs_path(__FILE__)));
my $build = $ENV{GATEPOST_BUILD} || "$top/build";
my $bin   = "$build/libexec/gatepost/policyd";
plan skip_all => "no $bin" unless -x $bin;

my $dir = tempdir('gatepost-policyd.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;    # policyd may run as another user
mkdir "$dir/$_" for qw(conf queue);
my @children;
my $main_pid = $$;
$SIG{PIPE} = 'IGNORE';

END {
    if (defined $main_pid && $$ == $main_pid) {
        local $?;
        for my $pid (@children) {
            kill 'TERM', $pid;
            waitpid $pid, 0;
        }
    }
}

# ---- a name server: "name TYPE" to record texts; "SERVFAIL" or "SILENT" instead ----
my %zone = (
    'a.good.test A'                => ['192.0.2.10'],
    'good.test MX'                 => ['10 a.good.test.'],
    'good.test NS'                 => ['ns.good.test.'],
    'good.test TXT'                => ['"v=spf1 ip4:192.0.2.10 include:inc.test -all exp=why.good.test"'],
    'inc.test TXT'                 => ['"v=spf1 ip4:198.51.100.0/24 -all"'],
    'why.good.test TXT'            => ['"%{i} is no host of %{d}"'],
    'soft.test TXT'                => ['"v=spf1 ~all"'],
    'broken.test TXT'              => ['"v=spf1 a:%{x} -all"'],
    'down.test TXT'                => 'SERVFAIL',
    'voids.test TXT'               => ['"v=spf1 a:n1.test a:n2.test a:n3.test a:n4.test +all"'],
    'mail.helo.test TXT'           => ['"v=spf1 ip4:192.0.2.10 -all"'],
    'self.test MX'                 => ['10 mx.bad.test.'],
    'self.test A'                  => ['192.0.2.66'],
    'mx.bad.test A'                => ['192.0.2.66'],
    'null.test MX'                 => ['0 .'],
    '9.2.0.192.bl.test A'          => ['127.0.0.2'],
    '9.2.0.192.bl.test TXT'        => ['"see http://bl.test/$sender"'],
    map({ ("9.2.0.192.slow$_.test A" => 'SLOW') } 0 .. 3),
    '9.2.0.192.down.test A'        => 'SERVFAIL',
    '10.2.0.192.wl.test A'         => ['127.0.5.3'],
    'spam.test.rhs.test A'         => ['127.0.0.2'],
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test A' => ['127.0.0.4'],
);

sub dns_reply {
    my ($query) = @_;
    my ($q)     = $query->question or return;
    my $name    = lc $q->qname;
    my $reply   = $query->reply;
    my $records = $zone{"$name " . $q->qtype};

    $reply->header->ra(1);
    $reply->header->rcode('NOERROR');
    if (defined $records && !ref $records) {
        return ($reply, 0.3) if $records eq 'SLOW';
        $reply->header->rcode($records);
    } elsif (defined $records) {
        $reply->push(answer => Net::DNS::RR->new("$name. 60 IN " . $q->qtype . " $_")) for @$records;
    } elsif (!grep { /^\Q$name\E / || /\.\Q$name\E / } keys %zone) {
        $reply->header->rcode('NXDOMAIN');
    }
    return ($reply, 0);
}

sub serve_dns {
    my ($sock) = @_;
    my @later;

    while (1) {
        my $wait = @later ? $later[0][0] - time : 60;
        if (IO::Select->new($sock)->can_read($wait > 0 ? $wait : 0)) {
            my $peer  = $sock->recv(my $packet, 1500);
            my $query = Net::DNS::Packet->new(\$packet) or next;
            my ($reply, $delay) = dns_reply($query);
            push @later, [time + $delay, $peer, $reply->data] if $reply;
        }
        @later = sort { $a->[0] <=> $b->[0] } @later;
        while (@later && $later[0][0] <= time) {
            my ($at, $peer, $data) = @{ shift @later };
            $sock->send($data, 0, $peer);
        }
    }
}

sub start_child {
    my ($code) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        $SIG{TERM} = 'DEFAULT';
        eval { $code->(); 1 } or warn $@;
        POSIX::_exit(1);
    }
    push @children, $pid;
    return $pid;
}

my $dns = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or die "udp: $!";
start_child(sub { serve_dns($dns) });

# ---- Redis ----
my $redis_pid;

sub start_redis {
    $redis_pid = start_child(sub {
        open STDOUT, '>', '/dev/null';
        exec 'redis-server', '--port', 0, '--unixsocket', "$dir/redis", '--unixsocketperm', 777, '--save', '', '--dir', $dir;
    });
    for (1 .. 200) {
        return if IO::Socket::UNIX->new(Peer => "$dir/redis");
        sleep 0.02;
    }
    die 'redis-server does not start';
}

sub redis {
    my $s = IO::Socket::UNIX->new(Peer => "$dir/redis") or die "redis: $!";
    print $s '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_;
    return scalar <$s>;
}

# ---- policyd, as master starts it ----
sub write_conf {
    my (%set) = @_;
    my %conf = (
        compatibility_level => '3.6',
        mail_owner          => 'nobody',
        queue_directory     => "$dir/queue",
        myhostname          => 'mx.gate.test',
        mynetworks          => '10.0.0.0/8',
        maillog_file        => "$dir/maillog",
        dns_servers         => '127.0.0.1:' . $dns->sockport,
        dns_timeout         => '3s',
        recipient_delimiter => '+',
        greylist_delay      => '1s',
        redis_breaker_time  => '1s',
        %set,
    );
    open my $f, '>', "$dir/conf/main.cf" or die $!;
    print $f "$_ = $conf{$_}\n" for sort keys %conf;
    close $f;
}

my ($policyd_pid, $control);
sub log_text;

sub start_policyd {
    my (%set) = @_;
    write_conf(%set);
    unlink "$dir/policyd";
    my $unix = IO::Socket::UNIX->new(Local => "$dir/policyd", Listen => 50) or die "unix: $!";
    my $inet = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die "inet: $!";
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0 or die $!;
    $policyd_pid = start_child(sub {
        my @fds = map { POSIX::dup(fileno $_) } $theirs, $unix, $inet;
        my @high = map { my $fd = $_; $fd = POSIX::dup($fd) while $fd < 10; $fd } @fds;
        POSIX::dup2($high[$_], 3 + $_) for 0 .. 2;
        POSIX::close($_) for 6 .. 40;
        exec $bin, '-c', "$dir/conf", '-n', 'policyd', '-s', 2;
    });
    close $theirs;
    $control = $ours;
    sysread $control, my $ready, 1;
    is $ready, 'R', 'policyd is ready' or diag log_text();
    return $inet->sockport;
}

sub stop_policyd {
    kill 'TERM', $policyd_pid;
    waitpid $policyd_pid, 0;
    is $?, 0, 'policyd leaves when told to';
    @children = grep { $_ != $policyd_pid } @children;
}

sub log_text {
    open my $f, '<', "$dir/maillog" or return '';
    local $/;
    return scalar <$f> // '';
}

# An answer may be here before the lines about it: they are written when the loop has nothing else to do.
sub log_soon {
    my ($match) = @_;
    my $end = time + 10;
    sleep 0.02 while log_text() !~ $match && time < $end;
    return log_text();
}

sub connect_unix { return IO::Socket::UNIX->new(Peer => "$dir/policyd") || die "policyd: $!" }

my $instance = 0;

sub ask_on {
    my ($s, %more) = @_;
    my %attr = (
        request             => 'smtpd_access_policy',
        protocol_state      => 'RCPT',
        protocol_name       => 'ESMTP',
        client_address      => '192.0.2.10',
        client_name         => 'a.good.test',
        reverse_client_name => 'a.good.test',
        helo_name           => 'mail.helo.test',
        sender              => 'joe@good.test',
        recipient           => 'ann@ours.test',
        instance            => 'i' . ++$instance,
        %more,
    );
    print $s map({ "$_=$attr{$_}\n" } sort keys %attr), "\n";
    my %answer;
    while (defined(my $line = <$s>)) {
        chomp $line;
        last if $line eq '';
        my ($name, $value) = split /=/, $line, 2;
        push @{ $answer{$name} }, $value;
    }
    return { map { $_ => @{ $answer{$_} } == 1 ? $answer{$_}[0] : $answer{$_} } keys %answer };
}

my $conn;
sub ask { return ask_on($conn, @_) }

sub action_is {
    my ($restrictions, $attrs, $want, $name) = @_;
    my $got = ask(restrictions => $restrictions, %$attrs);
    if (ref $want) {
        like $got->{action}, $want, $name;
    } else {
        is $got->{action}, $want, $name;
    }
    return $got;
}

open my $rbl, '>', "$dir/conf/rbl" or die $!;
print $rbl "bl.test=127.0.0.4 \$rbl_code go away \$client_address\n";
close $rbl;
start_redis();
my $port = start_policyd(
    redis_server    => "unix:$dir/redis",
    rbl_reply_maps  => "texthash:$dir/conf/rbl",
    smtpd_recipient_restrictions => 'check_client_access inline:{192.0.2=DUNNO}, reject',
);
$conn = connect_unix();

subtest 'access tables' => sub {
    action_is 'check_client_access inline:{{192.0.2 = REJECT by net}}', {}, 'REJECT by net', 'client by network';
    action_is 'check_client_access inline:{{good.test = 550 by name}, {192.0.2 = OK}}', {}, '550 by name', 'name before address';
    action_is 'check_client_access inline:{{192.0.2.10 = DUNNO}, {192.0.2 = REJECT}}', {}, 'DUNNO', 'DUNNO stops the search in a table';
    action_is 'check_helo_access inline:{{helo.test = REJECT}}', {}, 'REJECT', 'helo by parent domain';
    action_is 'check_sender_access inline:{{joe@ = REJECT}}', { sender => 'joe+x@good.test' }, 'REJECT', 'sender without extension and domain';
    action_is 'check_sender_access inline:{{<> = DEFER}}', { sender => '' }, 'DEFER', 'null sender';
    action_is 'check_sender_access inline:{{<> = DEFER}}', { sender => '', protocol_state => 'HELO' }, 'DUNNO', 'no sender before MAIL';
    action_is 'check_recipient_access inline:{{ours.test = permit_mynetworks, reject}}', {}, 'permit_mynetworks, reject', 'a list as action';
    action_is 'check_reverse_client_hostname_access inline:{{good.test = OK}}', {}, qr/^451 4\.3\.5/, 'OK for a name its owner chose is refused';
    action_is 'check_ccert_access inline:{{AA:BB = OK}}', { ccert_pubkey_fingerprint => 'AA:BB' }, 'OK', 'public key fingerprint';
    action_is 'check_ccert_access { inline:{{AA:BB = OK}}, { search_order = cert_fingerprint } }', { ccert_pubkey_fingerprint => 'AA:BB' }, 'DUNNO', 'search order';
    action_is 'check_sasl_access inline:{{joe = REJECT}}', { sasl_username => 'joe' }, 'REJECT', 'login';
    action_is 'check_etrn_access inline:{{x.test = REJECT}}', { etrn_domain => 'a.x.test', protocol_state => 'ETRN', sender => '' }, 'REJECT', 'ETRN';
    action_is 'check_client_access static:REJECT', {}, 'REJECT', 'static';
    my $got = action_is 'check_helo_access inline:{x=OK}, check_client_access inline:{{192 = HOLD}}', {}, 'HOLD', 'second restriction';
    is $got->{index}, 1, 'and its index';
    action_is 'check_client_access fail:down', {}, qr/^451 4\.3\.5/, 'a table that fails';
    action_is 'check_nothing', {}, qr/^451 4\.3\.5/, 'an unknown restriction';
    action_is 'check_client_access hash:/nonexistent/x', {}, qr/^451 4\.3\.5/, 'a table that is not there';
    like log_soon(qr/check_nothing/), qr/unknown smtpd restriction: "check_nothing"/, 'is logged';
};

subtest 'hosts behind a name' => sub {
    action_is 'check_sender_mx_access inline:{{mx.bad.test = REJECT mx}}', { sender => 'x@self.test' }, 'REJECT mx', 'MX by name';
    action_is 'check_sender_mx_access inline:{{192.0.2.66 = REJECT addr}}', { sender => 'x@self.test' }, 'REJECT addr', 'MX by address';
    action_is 'check_sender_mx_access inline:{{192.0.2.10 = REJECT}}', { sender => 'x@a.good.test' }, 'REJECT', 'no MX: the domain itself';
    action_is 'check_sender_mx_access static:REJECT', { sender => 'x@null.test' }, 'DUNNO', 'null MX';
    action_is 'check_sender_ns_access inline:{{ns.good.test = REJECT ns}}', { sender => 'x@a.good.test' }, 'REJECT ns', 'NS of a parent';
    action_is 'check_client_a_access inline:{{192.0.2 = REJECT a}}', {}, 'REJECT a', 'A';
    action_is 'check_sender_mx_access inline:{{192.0.2.77 = REJECT lit}}', { sender => 'x@[192.0.2.77]' }, 'REJECT lit', 'literal';
    action_is 'check_helo_mx_access static:OK', { helo_name => 'self.test' }, qr/^451 4\.3\.5/, 'OK is forbidden';
    action_is 'check_client_mx_access static:REJECT', { client_name => 'unknown' }, 'DUNNO', 'unknown client';
};

subtest 'DNS lists' => sub {
    my %bad = (client_address => '192.0.2.9', client_name => 'unknown');
    my $got = action_is 'reject_rbl_client bl.test=127.0.0.[2..3]', \%bad,
        '554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.test; see http://bl.test/$sender', 'listed, with reason';
    is $got->{whole}, 1, 'a complete reply';
    action_is 'reject_rbl_client bl.test=127.0.0.[3..11]', \%bad, 'DUNNO', 'filtered';
    action_is 'reject_rbl_client bl.test', {}, 'DUNNO', 'not listed';
    action_is 'reject_rbl_client down.test', \%bad, 'DUNNO', 'a list that fails lists nobody';
    action_is 'reject_rbl_client bl.test=127.0.0.4', { client_address => '2001:db8::1' }, '554 5.7.1 go away 2001:db8::1', 'IPv6, own reply';
    action_is 'reject_rhsbl_sender rhs.test', { sender => 'x@spam.test' },
        '554 5.7.1 Service unavailable; Sender address [x@spam.test] blocked using rhs.test', 'sender domain';
    action_is 'reject_rhsbl_helo rhs.test', { helo_name => '[192.0.2.9]' }, 'DUNNO', 'a literal is no name';
    action_is 'permit_dnswl_client wl.test=127.0.[0..255].[1..3]', {}, 'OK', 'permit list';
    action_is 'permit_dnswl_client down.test', \%bad, qr/^DEFER_IF_REJECT 4\.7\.1/, 'permit list that fails';
    action_is 'reject_rbl_client bl.test=127.0.0.300', \%bad, qr/^451 4\.3\.5/, 'bad filter';
    action_is 'reject_rbl_client slow0.test', \%bad, 'DUNNO', 'a slow list';    # the resolver learns to be patient
    my $began = time;
    action_is join(', ', map { "reject_rbl_client slow$_.test" } 1 .. 3), \%bad, 'DUNNO', 'three slow lists';
    cmp_ok time - $began, '<', 0.75, 'are asked at once';
};

subtest 'SPF' => sub {
    my $got = action_is 'check_spf', {}, 'DUNNO', 'pass goes on';
    like $got->{header}, qr/^Received-SPF: pass \(mx\.gate\.test: .*\) receiver=mx\.gate\.test; identity=mailfrom; envelope-from="joe\@good\.test"; helo=mail\.helo\.test; client-ip=192\.0\.2\.10; mechanism="ip4:192\.0\.2\.10"$/, 'header';
    $got = action_is 'check_spf', { client_address => '192.0.2.99' }, qr/^550 5\.7\.23 SPF check failed/, 'fail';
    like $got->{action}, qr/good\.test explains: 192\.0\.2\.99 is no host of good\.test$/, 'with explanation';
    action_is 'check_spf', { client_address => '198.51.100.7' }, 'DUNNO', 'include';
    $got = action_is 'check_spf', { client_address => '127.0.0.2' }, qr/^550/, 'loopback is no exception';
    $got = action_is 'check_spf', { sender => 'x@soft.test' }, 'DUNNO', 'softfail';
    like $got->{header}, qr/^Received-SPF: softfail /, 'header tells';
    action_is 'check_spf', { sender => 'x@down.test' }, qr/^DEFER_IF_PERMIT 4\.4\.3/, 'temperror';
    $got = action_is 'check_spf', { sender => 'x@broken.test' }, 'DUNNO', 'permerror';
    like $got->{header}, qr/^Received-SPF: permerror /, 'header tells';
    $got = action_is 'check_spf', { sender => 'x@voids.test' }, 'DUNNO', 'four void lookups';
    like $got->{header}, qr/permerror/, 'are a permerror';
    $got = action_is 'check_spf', { sender => 'x@none.test' }, 'DUNNO', 'no record';
    like $got->{header}, qr/^Received-SPF: none /, 'none';
    $got = action_is 'check_spf', { sender => '' }, 'DUNNO', 'null sender: HELO';
    like $got->{header}, qr/^Received-SPF: pass .*identity=helo; envelope-from="";/, 'identity helo';
    action_is 'check_spf', { sender => '', client_address => '192.0.2.99' }, qr/^550/, 'HELO fails';
    $got = action_is 'check_spf', { client_address => '10.1.2.3' }, 'DUNNO', 'own networks are exempt';
    ok !exists $got->{header}, 'without a header';
    $got = action_is 'check_spf', { sender => "a\"b\\c(d)\@soft.test" }, 'DUNNO', 'odd sender';
    like $got->{header}, qr/envelope-from="a\\"b\\\\c\(d\)\@soft\.test";/, 'is quoted';
    my $first  = ask(restrictions => 'check_spf', instance => 'same');
    my $second = ask(restrictions => 'check_spf', instance => 'same', recipient => 'bob@ours.test');
    ok exists $first->{header} && !exists $second->{header}, 'one header for a message, however many recipients';
    like redis('EXISTS', 'gp:spf:192.0.2.10:joe@good.test:mail.helo.test'), qr/^:1/, 'the verdict is in Redis';
};

subtest 'greylist' => sub {
    my %who = (sender => 'g1@good.test', client_address => '203.0.113.7');
    my $got = action_is 'check_greylist', \%who, 'DEFER_IF_PERMIT 4.2.0 Greylisted, try again in 1 seconds', 'first contact';
    ok !$got->{whole}, 'text to be prefixed';
    action_is 'check_greylist', { %who, recipient => 'bob@ours.test' }, qr/Greylisted/, 'another recipient';
    sleep 1.2;
    action_is 'check_greylist', { %who, client_address => '203.0.113.200' }, 'DUNNO', 'back in time, from the same network';
    action_is 'check_greylist', \%who, 'DUNNO', 'and known';
    action_is 'check_greylist', { %who, client_address => '203.0.114.7' }, qr/Greylisted/, 'another network';
    action_is 'check_greylist', { %who, client_address => '10.0.0.1' }, 'DUNNO', 'own networks';
    action_is 'check_greylist', { %who, sender => 'g2@good.test', sasl_username => 'joe' }, 'DUNNO', 'logged in';
    action_is 'check_client_access static:REJECT, check_greylist', { %who, sender => 'g3@good.test' }, 'REJECT', 'refused before it';
    like redis('EXISTS', 'gp:grey:{203.0.113.0/24}:g3@good.test:ann@ours.test'), qr/^:0/, 'leaves no mark';
};

subtest 'rate' => sub {
    my $limit = 'check_rate { client=3/60s, sender=100/1h }';
    action_is $limit, { client_address => '203.0.113.50' }, 'DUNNO', "event $_" for 1 .. 3;
    action_is $limit, { client_address => '203.0.113.50' }, qr/^450 4\.7\.1 Rate limit exceeded, try again in \d+ seconds$/, 'the fourth';
    action_is $limit, { client_address => '203.0.113.51' }, 'DUNNO', 'another client';
    action_is 'check_rate { planet=1/s }', {}, qr/^451 4\.3\.5/, 'an unknown key';
};

subtest 'a stock Postfix' => sub {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    my $got = ask_on($s, sender => 'pf@good.test', restrictions => 'check_client_access static:REJECT');
    like $got->{action}, qr/^DEFER_IF_PERMIT 4\.2\.0 Greylisted/, 'policyd_restrictions, whatever a stranger asks for';
    is_deeply [keys %$got], ['action'], 'one attribute';
    sleep 1.2;
    $got = ask_on($s, sender => 'pf@good.test', instance => 'pf');
    like $got->{action}, qr/^PREPEND Received-SPF: pass /, 'the header as an action';
    $got = ask_on($s, sender => 'pf@good.test', instance => 'pf');
    is $got->{action}, 'DUNNO', 'once for a message';
};

subtest 'hostile requests' => sub {
    for my $text ("nonsense\n\n", "a" x 10000 . "\n", "x=\0\n\n") {
        my $s = connect_unix();
        print $s $text;
        is scalar(<$s>), undef, 'connection closed';
    }
    action_is 'check_client_access static:REJECT', {}, 'REJECT', 'the others go on';
};

subtest 'Redis away' => sub {
    kill 'STOP', $redis_pid;
    my $began = time;
    action_is 'check_greylist', { sender => "away$_\@good.test" }, 'DUNNO', 'greylisting fails open' for 1 .. 5;
    cmp_ok time - $began, '<', 1.5, 'and the breaker keeps the wait short';
    kill 'CONT', $redis_pid;
    sleep 1.1;
    action_is 'check_greylist', { sender => 'backagain@good.test' }, qr/Greylisted/, 'back again';
    my @warnings = log_text() =~ /warning: Redis unix:\S+: /g;
    is scalar @warnings, 1, 'one warning';
    like log_soon(qr/available again/), qr/Redis unix:\S+ is available again/, 'one good news';
};

stop_policyd();

subtest 'without Redis' => sub {
    start_policyd(greylist_header => 'yes', spf_fail_action => 'none');
    $conn = connect_unix();
    action_is 'check_greylist', {}, qr/Greylisted/, 'first contact, in memory';
    sleep 1.2;
    my $got = action_is 'check_greylist', {}, 'DUNNO', 'passes';
    like $got->{header}, qr/^X-Greylist: delayed \d seconds by Gatepost at mx\.gate\.test; /, 'header';
    action_is 'check_rate client=1/60s', {}, 'DUNNO', 'rate, in memory';
    action_is 'check_rate client=1/60s', {}, qr/^450/, 'over it';
    action_is 'check_spf', { client_address => '192.0.2.99' }, 'DUNNO', 'SPF fail without an action';
    my @warnings = log_soon(qr/redis_server is not set/) =~ /redis_server is not set/g;
    is scalar @warnings, 1, 'said once';
    stop_policyd();
};

unlike log_text(), qr/panic|Sanitizer|fatal/, 'nothing worse in the log';
done_testing;
