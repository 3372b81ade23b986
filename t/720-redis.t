#!/usr/bin/perl
# t/720-redis.t - policyd's shared memory: a cluster that loses a primary under load, sentinels, TLS and ACL users, and a Redis that is away,
# hangs, is flushed, read-only or full.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::Certs;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Redis;
use Gatepost::Test;
use Test::More;
use Time::HiRes qw(time);

my @cluster = Gatepost::Redis->cluster(6) or plan skip_all => 'no redis-server';

sub gateway {
    my (%set) = @_;
    my $mta = Gatepost::Test->new(
        main_cf => { greylist_delay => '0', greylist_auto_allow => '0', redis_breaker_time => '1s', policyd_workers => 1, %set });
    $mta->start;
    return ($mta, Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd", restrictions => 'check_greylist'));
}

my $servers = join ' ', map { $_->address } @cluster[0, 3];

subtest 'two gateways, one cluster' => sub {
    my ($one, $ask_one) = gateway(redis_cluster => 'yes', redis_server => $servers, greylist_delay => '1s');
    my ($two, $ask_two) = gateway(redis_cluster => 'yes', redis_server => $servers, greylist_delay => '1s');
    my %nets = map { $_ => "203.$_.113.7" } 1 .. 30;    # thirty slots
    like $ask_one->action(client_address => $nets{$_}), qr/^DEFER_IF_PERMIT 4\.2\.0 Greylisted/, "net $_ has to wait" for keys %nets;
    my %passed;
    wait_for(sub {
        $passed{$_} //= $ask_two->action(client_address => $nets{$_}) eq 'DUNNO' || undef for keys %nets;
        return 30 == grep { defined } values %passed;
    });
    is scalar(grep { defined } values %passed), 30, 'what the first has seen passes at the second';
    my @used = grep { $_->command('DBSIZE') > 0 } @cluster[0 .. 2];
    is scalar @used, 3, 'all primaries hold a share';

    my ($victim, $replica) = @cluster[0, 3];
    my (%before, $asked, $odd);
    $victim->signal('KILL');
    my $over = wait_for(sub {
        for my $i (1 .. 30) {
            my $action = $ask_one->action(client_address => $nets{$i});
            $asked++;
            $odd = $action unless $action eq 'DUNNO' || $action =~ /Greylisted/;
        }
        return $replica->command('ROLE')->[0] eq 'master';
    });
    ok $over, 'a primary is killed under load: its replica takes over';
    is $odd, undef, "and every one of $asked questions has an answer";
    ok wait_for(sub { $ask_one->action(client_address => $nets{$_}, recipient => "x$$\@ours.test") =~ /Greylisted|DUNNO/ for 1 .. 30;
        $replica->command('DBSIZE') > 0 && ($one->log =~ /slots have another primary now/) }), 'the gateway follows' or diag $one->log;
    my ($waits, $turn) = (0, 0);
    wait_for(sub {
        $turn++; # new triplets each time: while a server's breaker is open, nobody has to wait
        $waits = grep { $ask_one->action(client_address => $nets{$_}, recipient => "y$turn\@ours.test") =~ /Greylisted/ } 1 .. 30;
        return $waits == 30;
    });
    is $waits, 30, 'every slot remembers again';
    my $log = $one->log;
    my @warnings = $log =~ /warning: Redis.*going on without it/g;
    is scalar @warnings, 1, 'one warning' or diag $log;
    $_->stop for $one, $two;
};
$_->stop for @cluster;

subtest 'sentinels' => sub {
    my $master = Gatepost::Redis->new(port => free_port());
    my $replica = Gatepost::Redis->new(port => free_port(), options => ['--replicaof', '127.0.0.1', $master->{port}]);
    wait_for(sub { $replica->command('INFO', 'replication') =~ /master_link_status:up/ }) or die 'no replication';
    my $sentinel = Gatepost::Redis->sentinel('gate', $master);
    wait_for(sub { @{ $sentinel->command(qw(SENTINEL replicas gate)) } == 1 }) or die 'the sentinel does not see the replica';
    my ($mta, $ask) = gateway(redis_server => $sentinel->address, redis_sentinel_master => 'gate', greylist_delay => '1h');
    like $ask->action(sender => 'one@s.test'), qr/Greylisted/, 'first contact';
    is $master->command('DBSIZE'), 1, 'is in the master';
    $master->signal('KILL');
    ok wait_for(sub { $ask->action(sender => 'two@s.test'); $replica->command('ROLE')->[0] eq 'master' && $replica->command('DBSIZE') == 2 }, 60),
        'the replica is promoted, and asked'; # a sentinel whose clock jumps, on a busy machine, does nothing for 30 seconds
    ok $mta->log_has(qr/Redis: the master of gate is inet:127\.0\.0\.1:$replica->{port}/, times => 1), 'and named in the log';
    $mta->stop;
};

subtest 'TLS, password and ACL user' => sub {
    my $certs = Gatepost::Certs->new;
    $certs->make('redis.test');
    my ($cert, $key, $ca) = map { $certs->file($_) } qw(redis.test.crt redis.test.key ca.crt);
    my $port = free_port();
    my $redis = Gatepost::Redis->new(options => ['--tls-port', $port, '--tls-cert-file', $cert, '--tls-key-file', $key, '--tls-ca-cert-file',
        $ca, '--tls-auth-clients', 'no', qw(--user gate on >secret ~gp:* +@all -@dangerous --user default on >other ~* +@all)]);
    $redis->{auth} = [qw(AUTH other)];
    my %set = (redis_server => "127.0.0.1:$port", redis_user => 'gate', redis_tls => 'yes', redis_tls_CAfile => $ca, redis_tls_name =>
            'redis.test', redis_timeout_ms => 2000, greylist_delay => '1h', redis_breaker_failures => 1);
    my ($mta, $ask) = gateway(%set, redis_password => 'secret');
    like $ask->action, qr/Greylisted/, 'first contact';
    is $redis->command('DBSIZE'), 1, 'is remembered over TLS, by that user';
    $mta->stop;
    ($mta, $ask) = gateway(%set, redis_password => 'secret', redis_tls_name => 'other.test');
    is $ask->action(sender => 'name@tls.test'), 'DUNNO', 'another name in the certificate: no Redis';
    ok $mta->log_has(qr/warning: Redis 127\.0\.0\.1:$port: .*going on without it/, times => 1), 'one warning';
    $mta->stop;
    ($mta, $ask) = gateway(%set, redis_password => 'wrong');
    is $ask->action(sender => 'pass@tls.test'), 'DUNNO', 'a wrong password';
    ok $mta->log_has(qr/warning: Redis .*AUTH: WRONGPASS/, times => 1), 'is told';
    $mta->stop;
};

subtest 'trouble' => sub {
    my $redis = Gatepost::Redis->new(port => free_port());
    my ($mta, $ask) = gateway(redis_server => $redis->endpoint, redis_timeout_ms => 300, redis_breaker_failures => 2, greylist_delay => '1h');
    my $works = sub { return $ask->action(sender => "w$_[0]\@t.test") =~ /Greylisted/ };
    ok $works->(1), 'it works';
    for my $n (1 .. 3) {
        $redis->command(qw(CLIENT PAUSE 50 ALL));
        ok $works->("slow$n"), 'a reply that is late, but in time, is one';
    }
    unlike $mta->log, qr/going on without it/, 'no warning of that';
    my @cases = (
        ['hangs', sub { $redis->signal('STOP') }, sub { $redis->signal('CONT') }],
        ['is read-only', sub { $redis->command(qw(REPLICAOF 127.0.0.1 1)) }, sub { $redis->command(qw(REPLICAOF NO ONE)) }],
        ['is full', sub { $redis->command(qw(CONFIG SET maxmemory 1)) }, sub { $redis->command(qw(CONFIG SET maxmemory 0)) }],
        ['is away', sub { $redis->stop }, sub { $redis->start }],
    );
    my $warnings = 0;
    for my $case (@cases) {
        my ($name, $break, $mend) = @$case;
        $break->();
        is $ask->action(sender => "$name$_\@t.test"), 'DUNNO', "$name: greylisting is skipped" for 1 .. 6;
        $warnings++;
        my $count = () = $mta->log =~ /warning: Redis .*going on without it/g;
        is $count, $warnings, 'one warning' or diag $mta->log;
        $mend->();
        ok wait_for(sub { $works->($name) }), 'and it is found back';
    }
    $redis->command('FLUSHALL');
    ok $works->('flushed'), 'flushed: starts anew';
    $redis->command(qw(SCRIPT FLUSH));
    ok $works->('scripts'), 'scripts are loaded again';
    $mta->stop;
};

done_testing;
