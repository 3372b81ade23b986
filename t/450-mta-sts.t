#!/usr/bin/perl
# t/450-mta-sts.t - MTA-STS (RFC 8461): policies from a private web server, obeyed, remembered in Redis, and never half believed.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::DNS;
use Gatepost::Process qw(finish);
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;
use IO::Socket::SSL;
use Test::More;

plan skip_all => 'a web server on port 443 needs root' if $> != 0;

my $web_address = '127.0.44.3';
my %policy = ( # domain => what its web server answers; the mail servers it names
    listed  => { mx => ['mx.good.test'] },
    star    => { mx => ['*.good.test'] },
    other   => { mx => ['mx.other.test'] },
    self    => { mx => ['mx.self.test'] },
    clear   => { mx => ['mx.clear.test'] },
    trial   => { mx => ['mx.other.test'], mode => 'testing' },
    none    => { mx => [], mode => 'none' },
    gone    => { status => '404 Not Found' },
    moved   => { status => '302 Found', fields => "Location: https://mta-sts.listed.test/.well-known/mta-sts.txt\r\n" },
    html    => { mx => ['mx.other.test'], type => 'text/html' },
    huge    => { mx => [ map {"mx$_.very-long-name-of-a-host-that-fills-the-policy.other.test"} 1 .. 1500 ] },
    chunks  => { mx => ['mx.good.test'], chunked => 1 },
    cut     => { mx => ['mx.other.test'], cut => 1 },
    open    => { mx => ['mx.other.test'], open => 1 },
    stolen  => { mx => ['mx.other.test'], cert => 'mta-sts.listed.test' },
    broken  => { text => "version: STSv1\nmode: enforce\nmx: mx.other.test\n" },
);
my %mx = (self => 'self', clear => 'clear');

my $certs = Gatepost::Certs->new;
$certs->make("mta-sts.$_.test") for keys %policy;
$certs->make('mx.good.test');
$certs->make('mx.self.test', by => 'self');
my $good  = Gatepost::Sink->new(tls => { cert => $certs->file('mx.good.test.crt'), key => $certs->file('mx.good.test.key') });
my $port  = $good->port;
my $self  = Gatepost::Sink->new(address => '127.0.0.2', port => $port, tls => { cert => $certs->file('mx.self.test.crt'), key => $certs->file('mx.self.test.key') });
my $clear = Gatepost::Sink->new(address => '127.0.0.3', port => $port);
my $redis = Gatepost::Redis->new;

# ---- the web server ----

my $asked = "$certs->{dir}/asked";

sub answer {
    my ($name) = @_;
    my $p = $policy{$name};
    my $text = $p->{text} // join '', "version: STSv1\r\nmode: " . ($p->{mode} // 'enforce') . "\r\n", (map { "mx: $_\r\n" } @{ $p->{mx} // [] }), "max_age: 86400\r\n";
    my $head = 'HTTP/1.1 ' . ($p->{status} // '200 OK') . "\r\nContent-Type: " . ($p->{type} // 'text/plain; charset=utf-8') . "\r\n" . ($p->{fields} // '');
    return "${head}Transfer-Encoding: chunked\r\n\r\n" . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $text =~ /(.{1,20})/gs) . "0\r\n\r\n" if $p->{chunked};
    return "$head\r\n$text" if $p->{open};
    return "${head}Content-Length: " . (length($text) + ($p->{cut} ? 10 : 0)) . "\r\n\r\n$text";
}

sub serve_web {
    my $listener = IO::Socket::INET->new(LocalAddr => $web_address, LocalPort => 443, Listen => 20, ReuseAddr => 1) or die "port 443: $!";
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{PIPE} = 'IGNORE'; # a client that does not like the certificate
    my %cert = map { my $name = $policy{$_}{cert} // "mta-sts.$_.test"; ("mta-sts.$_.test" => $certs->file("$name.crt")) } keys %policy;
    my %key  = map { $_ => $cert{$_} =~ s/crt\z/key/r } keys %cert;
    my $any = 'mta-sts.listed.test';
    my $context = IO::Socket::SSL::SSL_Context->new(SSL_server => 1, SSL_cert_file => { %cert, '' => $cert{$any} }, SSL_key_file => { %key, '' => $key{$any} }) or die $SSL_ERROR;
    while (my $peer = $listener->accept) {
        IO::Socket::SSL->start_SSL($peer, SSL_server => 1, SSL_reuse_ctx => $context) or next;
        my ($request, $host) = ('', '');
        while (defined(my $line = <$peer>)) {
            $request ||= $line;
            $host = $1 if $line =~ /^Host: mta-sts\.(\w+)\.test\r/;
            last if $line eq "\r\n";
        }
        next if $request eq ''; # it did not like the certificate
        open my $log, '>>', $asked or die "$asked: $!";
        print $log "$host $request";
        close $log;
        print $peer answer($host) if $request =~ m{^GET /\.well-known/mta-sts\.txt HTTP/1\.1\r} && $policy{$host};
        close $peer;
    }
    POSIX::_exit(0);
}

sub times_asked {
    my ($name) = @_;
    open my $log, '<', $asked or return 0;
    return scalar grep {/^$name /} <$log>;
}

my $web = serve_web();
my %hosts = map { ("mx.$_.test" => { A => [ { good => '127.0.0.1', self => '127.0.0.2', clear => '127.0.0.3' }->{$_} ] }) } qw(good self clear);
my %zone = (%hosts, map { my $d = $_; (
    "$d.test" => { MX => [ '10 mx.' . ($mx{$d} // 'good') . '.test.' ] },
    "_mta-sts.$d.test" => { TXT => ['v=STSv1; id=1;'] },
    "mta-sts.$d.test"  => { A => [$web_address] },
) } keys %policy);
$zone{'plain.test'} = { MX => ['10 mx.self.test.'] };
my $dns = Gatepost::DNS->new(-ttl => 0, %zone);
my $mta = Gatepost::Test->new(
    main_cf => {
        relay_domains   => join(', ', map { "$_.test" } 'plain', keys %policy),
        transport_maps  => 'texthash:$config_directory/transport',
        dns_servers     => $dns->address, dns_hosts_file => '',
        smtp_tls_CAfile => $certs->file('ca.crt'),
        smtp_tls_security_level => 'may', smtp_tls_loglevel => 1, smtp_tls_mta_sts => 'yes',
        redis_server    => $redis->endpoint,
        minimal_backoff_time => '300s', maximal_backoff_time => '300s',
    },
    files => { transport => join '', map { "$_.test smtp:$_.test:$port\n" } 'plain', keys %policy },
)->start;

my $count = 0;

sub result_of {
    my ($domain) = @_;
    return $mta->send_to('bob' . ++$count . "\@$domain.test");
}

my $sent = qr/dsn=2\.0\.0, status=sent/;

subtest 'policies that are obeyed' => sub {
    like result_of($_), $sent, "$_: sent" for qw(listed star chunks);
    ok $mta->log_has(qr/Verified TLS connection established to mx\.good\.test/, times => 3), 'to a server with that name';
    like $good->heard, qr/sni=mx\.good\.test /, 'which is sent to it';
    like result_of('other'), qr/dsn=4\.7\.5, status=deferred \(host mx\.good\.test is not listed in the MTA-STS policy of other\.test\)/, 'a server that is not listed';
    like result_of('self'), qr/dsn=4\.7\.5, status=deferred \(Server certificate not verified\)/, 'a certificate of its own';
    like result_of('clear'), qr/dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered/, 'no TLS';
};

subtest 'nothing to obey' => sub {
    like result_of($_), $sent, "$_: sent" for qw(plain trial none);
    ok $mta->log_has(qr/mx\.good\.test is no server of trial\.test by its MTA-STS policy, which is on trial/), 'said so';
};

subtest 'answers that are none' => sub {
    my %why = (
        gone => 'status 404', moved => 'status 302', html => 'not of the right type', huge => 'too large', cut => 'lost connection', open => 'answer without a length',
        stolen => 'server certificate not verified: hostname mismatch', broken => 'no max_age',
    );
    for my $name (sort keys %why) {
        like result_of($name), $sent, "$name: sent";
        ok $mta->log_has(qr/MTA-STS policy of $name\.test: .*$why{$name}/i), "$name: $why{$name}" or diag grep {/MTA-STS policy of $name/} split /^/, $mta->log;
    }
    my $before = times_asked('gone');
    result_of('gone');
    is times_asked('gone'), $before, 'the web server is left alone for a while';
};

subtest 'what is remembered' => sub {
    is times_asked('listed'), 1, 'one request';
    result_of('listed');
    is times_asked('listed'), 1, 'for several messages';
    like join(' ', @{ $redis->command(KEYS => '*mta-sts:*') }), qr/mta-sts:listed\.test/, 'Redis has it';
    my %later = %zone;
    delete $later{'_mta-sts.other.test'};
    $later{'_mta-sts.listed.test'} = { TXT => ['v=STSv1; id=2;'] };
    $later{'_mta-sts.star.test'} = { TXT => [ 'v=STSv1; id=2;', 'v=STSv1; id=3;' ] };
    $dns->replace(%later);
    like result_of('other'), qr/status=deferred \(host mx\.good\.test is not listed/, 'a record that is suppressed suppresses no policy';
    like result_of('listed'), $sent, 'a new id';
    is times_asked('listed'), 2, 'is a new request';
    finish($web);
    $later{'_mta-sts.other.test'} = { TXT => ['v=STSv1; id=9;'] };
    $dns->replace(%later);
    like result_of('other'), qr/status=deferred \(host mx\.good\.test is not listed/, 'nor does a web server that is down';
    $mta->stop;
    $mta->start;
    like result_of('other'), qr/status=deferred \(host mx\.good\.test is not listed/, 'nor does a restart';
};

$mta->stop;
finish($web);
done_testing;
