#!/usr/bin/perl
# t/956-neighbours.t - whom the gateway asks fails while clients deliver: Redis, the name server, policyd and a filter are killed, hang, are slow, or
# answer with noise. No client hears a 5xx or loses his session, nothing acknowledged is lost or passes unchecked, and it recovers by itself.
# GP_ALL=1: all sixteen, with a table of what was measured (make neighbours).
use strict;
use warnings;
use Gatepost::Between;
use Gatepost::DNS;
use Gatepost::Load;
use Gatepost::MilterServer qw(add packet);
use Gatepost::Process qw(free_port slurp spew wait_for);
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;
use Time::HiRes qw(time);

my ($CLIENTS, $NAMES) = (3, 12_000);
my $ALL = ($ENV{GP_ALL} // '') eq '1' ? qr/./ : $ENV{GP_ALL};
my $DURING = $ALL ? 30 : 6;

# Who, how: what a client may hear meanwhile, whether this is part of every run.
my ($passes, $put_off, $either) = (qr/^250 /, qr/^45[01] 4\./, qr/^(?:250 |45[01] 4\.)/);
my @cells = (
    [ 'redis',   'killed',  $passes ],
    [ 'redis',   'hung',    $passes ],
    [ 'redis',   'slow',    $passes ],
    [ 'redis',   'garbage', $passes, 1 ],
    [ 'dns',     'killed',  $put_off ],
    [ 'dns',     'hung',    $put_off, 1 ],
    [ 'dns',     'slow',    $passes ],
    [ 'dns',     'garbage', $put_off ],
    [ 'policyd', 'killed',  $put_off, 1 ],
    [ 'policyd', 'hung',    $put_off ],
    [ 'policyd', 'slow',    $passes ],
    [ 'policyd', 'garbage', $put_off ],
    [ 'milter',  'killed',  $put_off ],
    [ 'milter',  'hung',    $put_off ],
    [ 'milter',  'slow',    $passes ],
    [ 'milter',  'garbage', $put_off, 1 ],
);

my $redis = Gatepost::Redis->new(port => free_port()) or plan skip_all => 'no redis-server';
my $dns = Gatepost::DNS->new(-ttl => 0, map { ("s$_.test" => { TXT => ['v=spf1 +all'] }) } 1 .. $NAMES);
my $filter = Gatepost::MilterServer->new;
$filter->script(on => { E => add('X-Filter', 'yes') . packet('c') });
my $sink = Gatepost::Sink->new;
my %between = (
    redis  => Gatepost::Between->new(to => "127.0.0.1:$redis->{port}"),
    dns    => Gatepost::Between->new(to => '127.0.0.1:' . $dns->port, proto => 'udp'),
    milter => Gatepost::Between->new(to => $filter->endpoint =~ s/^inet://r),
);
my $mta = Gatepost::Test->new(
    sink      => $sink->port,
    main_cf   => {
        dns_servers                  => '127.0.0.1@' . $between{dns}->port,
        redis_server                 => '127.0.0.1:' . $between{redis}->port,
        redis_breaker_time           => '1s',
        smtpd_milters                => '{ inet:127.0.0.1:' . $between{milter}->port . ', default_action=tempfail, command_timeout=1s, content_timeout=1s, breaker_time=1s }',
        smtpd_recipient_restrictions => 'check_spf, check_greylist',
        smtpd_policy_service_timeout => '3s',
        spf_timeout                  => '2s',
        dns_timeout                  => '1s',
        greylist_delay               => '0',
        greylist_auto_allow          => '0',
    },
    master_cf => 'real-policyd unix - - n - 0 policyd',
);
# Sockets of master are in its way: policyd's place is taken by who stands between.
sub take_place {
    my $cf = $mta->dir . '/conf/master.cf';
    spew($cf, slurp($cf) =~ s/^policyd unix.*\n//mr);
}
take_place();
$mta->start;
$between{policyd} = Gatepost::Between->new(to => $mta->dir . '/queue/private/real-policyd', path => $mta->dir . '/queue/private/policyd');

# One session with one message of a client and a sender not seen before.
my $load = Gatepost::Load->new(mta => $mta, sink => $sink, deliver => sub {
    my (undef, $name) = @_;
    my $n = $name =~ /^probe(\d+)/ ? $NAMES - $1 : $name =~ /^n(\d+)\.(\d+)\.(\d+)/ && 1 + ($1 * $CLIENTS + $2) * 200 + $3 % 200;
    my $c = $mta->smtp(silent => 1, patience => 30);
    $c->reply;
    $c->xclient(ADDR => sprintf '10.%d.%d.9', $n / 250 % 250, $n % 250);
    $c->hello;
    my $reply = $c->mail("ann\@s$n.test", 'bob@relay.test', Gatepost::Load::text($name));
    $c->quit;
    return $reply;
});

# Is a message whole: judged by SPF, and filtered?
sub whole { return $_[0] =~ /^Received-SPF: pass/m && $_[0] =~ /^X-Filter: yes/m }

# Seconds until sessions pass again, so many in a row that every process has found out, and Redis hears of them.
my $probes = 0;
sub recovery {
    my $began = time;
    my ($good, $since) = (0);
    return wait_for(sub {
        my $before = $redis->command('DBSIZE');
        my $s = $load->session('probe' . ++$probes);
        $good = $s->{reply} =~ /^250/ && $redis->command('DBSIZE') > $before ? $good + 1 : 0;
        $since = $s->{began} if $good == 1;
        return $good == 8 && 0.001 + $since - $began;
    }, 120);
}

my @table;
for my $cell (@cells) {
    my ($who, $how, $wanted, $always) = @$cell;
    next unless $ALL ? "$who $how" =~ $ALL : $always;
    subtest "$who: $how" => sub {
        my $round = $load->start;
        ok $load->wait_sessions($round, 2 * $CLIENTS), 'clients deliver';
        $between{$who}->asked;
        my $broken = time;
        $between{$who}->be($how);
        ok $load->wait_sessions($round, $DURING, $broken), 'and go on';
        cmp_ok $between{$who}->asked, '>', 0, 'it was asked' unless $how eq 'killed' || $how eq 'hung';
        my $mended = time;
        $between{$who}->be('well');
        my $back = recovery();
        ok $back, 'it recovers';
        $load->stop;
        my @all = $load->sessions($round);
        my @during = grep { $_->{began} > $broken && $_->{began} + $_->{took} < $mended } @all;
        my @odd = ((grep { $_->{reply} !~ $wanted } @during), grep { $_->{reply} !~ $either } @all);
        is scalar @odd, 0, 'everybody hears what he should, no session breaks' or diag map { "$_->{name} $_->{reply}\n" } @odd;
        my @lost = $load->lost($round);
        my $there = $load->arrived;
        my @acked = grep { $there->{$_} } map { $_->{name} } grep { $_->{reply} =~ /^250/ } @all;
        is scalar @lost, 0, @acked . ' acknowledged, none lost' or diag "@lost";
        my @odd_ones = grep { !whole($there->{$_}) } @acked;
        is scalar @odd_ones, 0, 'and none passed unchecked' or diag $there->{ $odd_ones[0] };
        my %heard = map { $_->{reply} =~ /^(4.. \S+|\d+)/ ? ($1 => 1) : () } @during;
        my ($longest) = sort { $b <=> $a } map { $_->{took} } @during;
        push @table, sprintf '| %s | %s | %d | %d | %s | %.1f s | %d | %.1f s |', $who, $how, scalar @during,
            scalar(grep { $_->{reply} =~ /^250/ } @during), join(', ', sort keys %heard), $longest // 0, scalar @lost, $back // -1;
    };
}
diag join "\n", '| who | how | sessions | accepted | heard | longest | lost | well after |', '|---|---|---|---|---|---|---|---|', @table if $ALL;
$mta->stop;
done_testing;
