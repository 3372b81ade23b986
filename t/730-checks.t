#!/usr/bin/perl
# t/730-checks.t - policyd's checks in depth: rates by unit, scores, shadow policies, classes and allow lists, greylisting's exceptions, the health
# of DNS lists, and what is done about trouble.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::DNS;
use Gatepost::Process qw(wait_for);
use Gatepost::Redis;
use Gatepost::Test;
use Test::More;

my %listed = (A => ['127.0.0.2'], TXT => ['by bl']);
my $dns = Gatepost::DNS->new(
    'good.test'          => { TXT => ['v=spf1 ip4:192.0.2.10 ip4:198.51.100.0/24 -all'] },
    'soft.test'          => { TXT => ['v=spf1 ~all'] },
    'provider.test'      => { TXT => ['v=spf1 ip4:203.0.113.0/24 ip4:198.51.100.0/24 -all'] },
    '2.0.0.127.bl.test'  => \%listed,
    '9.2.0.192.bl.test'  => \%listed,
    '9.2.0.192.two.test' => { A => [ '127.0.0.4', '127.0.0.9' ] },
    '2.0.0.127.two.test' => \%listed,
    'test.rhs.test'      => \%listed,
    'spam.test.rhs.test' => \%listed,
    '10.2.0.192.wl.test' => { A => ['127.0.0.1'] },
    '2.0.0.127.wl.test'  => \%listed,
    map({ ("$_.wild.test" => \%listed) } qw(9.2.0.192 1.0.0.127 2.0.0.127)),
    '9.2.0.192.hollow.test' => \%listed,
    '9.2.0.192.gone.test'   => { A => 'SERVFAIL' },
    '9.2.0.192.error.test'  => { A => ['127.255.255.254'] },
    '9.2.0.192.sold.test'   => { A => [ '192.0.2.80', '127.0.0.2' ] },
    '2.0.0.127.sold.test'   => { A => ['192.0.2.80'] },
    '9.2.0.192.parked.test' => { A => ['192.0.2.80'] },
    '2.0.0.127.v6.test'     => \%listed,
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.v6.test' => \%listed,
);
my $redis = Gatepost::Redis->new;
my %bad = (client_address => '192.0.2.9', client_name => 'unknown');

sub gateway {
    my (%set) = @_;
    my $mta = Gatepost::Test->new(
        files   => { replies => "two.test 550 5.7.1 \$rbl_what is on \$rbl_domain, \$client \$helo_name \$recipient_domain\n" },
        main_cf => { dns_servers => $dns->address, policyd_workers => 1, spf_header => 'no', greylist_delay => '1h', greylist_auto_allow => 0, %set });
    $mta->start;
    return ($mta, Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd", sender => 'joe@none.test'));
}

sub rates {
    my ($ask, $where) = @_;
    my $action = sub { my ($limit, %more) = @_; return $ask->action(restrictions => "check_rate { $limit }", %more) };
    my $over = qr/^450 4\.7\.1 Rate limit exceeded/;
    is $action->('client_net=2/1h', client_address => "192.0.2.$_"), 'DUNNO', "$where: net, $_" for 1, 2;
    like $action->('client_net=2/1h', client_address => '192.0.2.3'), $over, 'a third host of the net';
    is $action->('client_net=2/1h', client_address => '2001:db8::1'), 'DUNNO', 'another net';
    my @two = ('sender:messages=2/1h, sender:recipients=5/1h');
    is $action->(@two, sender => 'm@x.test', instance => 'm1', recipient => "$_\@ours.test"), 'DUNNO', "one message, recipient $_" for 1 .. 3;
    is $action->(@two, sender => 'm@x.test', instance => 'm2'), 'DUNNO', 'the second message';
    like $action->(@two, sender => 'm@x.test', instance => 'm3'), $over, 'the third message';
    is $action->(@two, sender => 'm@x.test', instance => 'm2', recipient => 'b@ours.test'), 'DUNNO', 'the fifth recipient';
    like $action->(@two, sender => 'm@x.test', instance => 'm2', recipient => 'c@ours.test'), $over, 'the sixth recipient';
    my %end = (protocol_state => 'END-OF-MESSAGE', recipient => '', recipient_count => 3, sasl_username => 'joe');
    is $action->('sasl_username:bytes=10k/1h', %end, instance => 'b1', size => 6000), 'DUNNO', 'octets';
    like $action->('sasl_username:bytes=10k/1h', %end, instance => 'b2', size => 6000), $over, 'too many octets';
    is $action->('sasl_username:bytes=10k/1h', %end, instance => 'b3', size => 4000), 'DUNNO', 'the rest of them';
    is $action->('sasl_username:recipients=5/1h', %end), 'DUNNO', 'recipients at the end of the message';
    like $action->('sasl_username:recipients=5/1h', %end), $over, 'too many';
    is $action->('sender_domain=9/1h, recipient_domain=1/1h', sender => 'a@once.test', recipient => 'x@once.test'), 'DUNNO', 'two keys';
    like $action->('sender_domain=9/1h, recipient_domain=1/1h', sender => 'a@once.test', recipient => 'y@once.test'), $over, 'the second says no';
    is $action->('recipient=1/1h/3', recipient => 'burst@o.test'), 'DUNNO', "burst $_" for 1 .. 3;
    like $action->('recipient=1/1h/3', recipient => 'burst@o.test'), $over, 'over the burst';
    is $action->('sender=1/1h', sender => ''), 'DUNNO', "the null sender is not counted" for 1 .. 2;
    like $action->('sender:pounds=1/1h'), qr/^451 4\.3\.5/, 'an unknown unit';
}

subtest 'in Redis' => sub {
    my ($mta, $ask) = gateway(redis_server => $redis->endpoint, redis_timeout_ms => 1000);
    rates($ask, 'Redis');
    $mta->stop;
};

subtest 'in memory' => sub {
    my ($mta, $ask) = gateway(
        policyd_restriction_classes => 'strict, loose, lists', strict => 'check_spf, reject_rbl_client bl.test', loose => 'check_spf',
        lists => 'reject_rbl_client bl.test',
        policyd_allow_clients => '192.0.2.77', policyd_allow_senders => 'inline:{ @good.test=x }',
        policyd_allow_recipients => 'inline:{ abuse@ours.test=x }', policyd_trouble_actions => 'reject_rbl_client:dns=defer',
        rbl_failure_limit => 3, greylist_known_domains => 'good.test', greylist_group_by_spf => 'yes',
        greylist_exempt_recipients => 'inline:{ now@ours.test=x }', greylist_delay => '0',
        rbl_reply_maps => 'texthash:$config_directory/replies',
        score_reject_action => '550 5.7.1 score $score: $score_parts', policyd_restrictions => 'check_shadow lists, check_client_access static:OK');
    rates($ask, 'memory');

    my $score = 'check_score { reject=5 defer=3 prepend=1, { reject_rbl_client bl.test } 4, { check_spf } fail=1 softfail=0.5 pass=-1, '
        . '{ permit_dnswl_client wl.test } -2.5 { check_helo_access inline:{{bad.helo = REJECT}} } 2 }';
    my $action = sub { my ($restrictions, %more) = @_; return $ask->ask(restrictions => $restrictions, %more) };
    is $action->($score, sender => 'a@none.test')->{action}, 'DUNNO', 'nothing adds up';
    is $action->($score, %bad, sender => 'a@none.test')->{action}, '450 4.7.1 Message deferred by policy (score 4)', 'one list: deferred';
    is $action->($score, %bad, sender => 'a@good.test', client_address => '192.0.2.9', helo_name => 'x.bad.helo', sender => 'x@soft.test')->{action},
        '550 5.7.1 score 6.5: reject_rbl_client bl.test 4, check_spf softfail 0.5, check_helo_access inline:{{bad.helo = REJECT}} 2',
        'three findings: refused';
    my $got = $action->($score, helo_name => 'bad.helo', sender => 'x@none.test', client_address => '192.0.2.11');
    is $got->{action}, 'DUNNO', 'a little';
    like $got->{header}, qr/^X-Policy-Score: 2 \(check_helo_access .* 2\)$/, 'is noted in the header';
    is $action->($score, helo_name => 'bad.helo', sender => 'x@none.test')->{header}, undef, 'a permit list takes from the sum';
    like $action->('check_score { reject=5 }')->{action}, qr/^451 4\.3\.5/, 'a score of nothing';
    like $action->('check_score { reject=5, { check_spf } }')->{action}, qr/^451 4\.3\.5/, 'a finding without a weight';

    my $by_domain = 'check_recipient_access inline:{{a.test = strict}, {b.test = loose, check_helo_access static:HOLD}}, check_sender_access static:WARN';
    like $action->($by_domain, %bad, recipient => 'x@a.test')->{action}, qr/^554 5\.7\.1 Service unavailable/, 'the policy of one domain';
    is $action->($by_domain, %bad, recipient => 'x@b.test')->{action}, 'HOLD', 'of another';
    is $action->($by_domain, %bad, recipient => 'x@c.test')->{action}, 'WARN', 'and of the others';
    is $action->('check_recipient_access inline:{{a.test = permit_mynetworks, strict}}', recipient => 'x@a.test')->{action},
        'permit_mynetworks, strict', 'a list that is not ours alone is for the asker';

    is $action->('check_helo_access static:REJECT', client_address => '192.0.2.77')->{action}, 'DUNNO', 'allowed client';
    is $action->('check_helo_access static:REJECT', recipient => 'abuse@ours.test')->{action}, 'DUNNO', 'allowed recipient';
    is $action->('check_helo_access static:REJECT', sender => 'x@good.test')->{action}, 'DUNNO', 'allowed sender, with SPF pass';
    is $action->('check_helo_access static:REJECT', sender => 'x@good.test', %bad)->{action}, 'REJECT', 'not without it';

    my $all = sub { my @actions = @_; return $ask->action(explain => 'yes', restrictions => join ', ', map { "check_helo_access inline:{{mail.helo.test = $_}}" } @actions) };
    is $all->('PREPEND X: y', 'REJECT'), 'REJECT', 'for who asks once: a refusal behind a header';
    is $all->('PREPEND X: y', 'WARN', 'DUNNO'), 'PREPEND X: y', 'a header';
    is $all->('WARN w', 'PREPEND X: y', 'OK'), 'PREPEND X: y', 'a header and OK';
    is $all->('WARN w', 'OK'), 'OK', 'a warning and OK';
    is $all->('WARN w'), 'WARN w', 'a warning';
    is $all->('HOLD', 'DEFER_IF_PERMIT 4.2.0 later', 'OK'), 'DEFER_IF_PERMIT 4.2.0 later', 'a delay goes before OK';
    is $all->('DEFER_IF_PERMIT 4.2.0 later', '554 5.7.1 no'), '554 5.7.1 no', 'and behind a refusal';
    is $all->('DEFER_IF_REJECT 4.7.1 silent', '554 5.7.1 no'), 'DEFER 4.7.1 silent', 'a refusal that is only for now';
    is $all->('DEFER_IF_REJECT 4.7.1 silent', 'OK'), 'OK', 'and none at all';

    my $shadow = 'check_shadow strict, check_shadow { check_greylist }, check_helo_access static:DUNNO';
    is $action->($shadow, %bad, sender => 'sh@none.test')->{action}, 'DUNNO', 'a shadow policy is not obeyed';
    ok $mta->log_has(qr/policyd\[\d+\]: shadow: policy=strict, did=go on, would=reject, by=reject_rbl_client, client=unknown\[192\.0\.2\.9\], from=<sh\@none\.test>, to=<ann\@ours\.test>, action=554 5\.7\.1 /,
        times => 1), 'but reported';
    $action->($shadow, sender => 'agrees@none.test');
    is $action->("check_shadow nosuch")->{action}, '451 4.3.5 Server configuration error', 'an unknown shadow policy';

    is $action->('reject_rbl_client two.test=127.0.0.[5..11]', %bad)->{action},
        '550 5.7.1 192.0.2.9 is on two.test, unknown[192.0.2.9] mail.helo.test ours.test', 'a reply of its own, by one of two addresses';
    like $action->('reject_rbl_client v6.test', client_address => '2001:db8::1')->{action}, qr/^554 /, 'IPv6';
    is $action->('reject_rbl_client wild.test', %bad)->{action}, 'DUNNO', 'a list that lists everybody is not believed';
    ok $mta->log_has(qr/warning: DNS list wild\.test lists 127\.0\.0\.1, and so everybody: it is not used/, times => 1), 'and reported';
    like $action->('reject_rbl_client hollow.test', %bad)->{action}, qr/^554/, 'one without test entry is';
    ok $mta->log_has(qr/warning: DNS list hollow\.test does not list its test entry 127\.0\.0\.2/, times => 1), 'and reported, too';
    like $action->('reject_rhsbl_sender rhs.test', sender => 'x@spam.test')->{action}, qr/^554/, 'a list of names';
    is $action->('reject_rbl_client gone.test', %bad)->{action}, 'DEFER_IF_PERMIT 4.3.0 Temporary lookup failure', "no answer, $_" for 1 .. 4;
    ok $mta->log_has(qr/warning: DNS list gone\.test does not answer \(.*\); going on without it/, times => 1), 'the list is dropped, and reported';

    my $failed = 'DEFER_IF_PERMIT 4.3.0 Temporary lookup failure';
    is $action->('reject_rbl_client error.test', %bad)->{action}, $failed, "an error code is no listing, $_" for 1 .. 3;
    ok $mta->log_has(qr/warning: DNS list error\.test does not answer \(it answers with an error code.*\)/, times => 1), 'and is reported';
    is $action->('reject_rbl_client parked.test', %bad)->{action}, $failed, 'nor is an address of anybody';
    like $action->('reject_rbl_client sold.test', %bad)->{action}, qr/^554/, 'beside which a listing counts';

    is $action->('check_greylist', sender => 'new@good.test')->{action}, 'DUNNO', 'a known good domain does not wait';
    is $action->('check_greylist', sender => 'new@none.test', recipient => 'now@ours.test')->{action}, 'DUNNO', 'nor does this recipient';
    $mta->stop;

    ($mta, $ask) = gateway(greylist_group_by_spf => 'yes', redis_server => $redis->endpoint, spf_authentication_results => 'yes',
        spf_helo_fail_action => '550 5.7.23 $spf_identity $spf_domain');
    my $mail = sub { return $ask->ask(restrictions => 'check_spf', @_) };
    is $mail->(sender => 'x@provider.test', client_address => '203.0.113.9', helo_name => 'soft.test')->{header},
        'Authentication-Results: mx.gate.test; spf=pass smtp.mailfrom=x@provider.test', 'the result in a field of its own';
    is $mail->(sender => '', client_address => '192.0.2.99', helo_name => 'soft.test')->{header},
        'Authentication-Results: mx.gate.test; spf=softfail smtp.helo=soft.test', 'of the HELO name, too';
    my $helo = $mail->(sender => 'x@soft.test', client_address => '192.0.2.99', helo_name => 'good.test');
    is $helo->{action}, '550 5.7.23 helo good.test', 'a HELO name whose SPF fails, with a sender of another domain';
    is $helo->{header}, 'Authentication-Results: mx.gate.test; spf=fail smtp.helo=good.test', 'and what is said of it';

    my $grey = sub { return $ask->action(restrictions => 'check_greylist', @_) };
    like $grey->(sender => 'p@provider.test', client_address => '203.0.113.7'), qr/Greylisted/, 'a provider';
    is $redis->command('EXISTS', 'gp:grey:{spf=provider.test}:p@provider.test:ann@ours.test'), 1, 'counts as one, whatever its networks';
    $grey->(sender => 'v6@none.test', client_address => '2001:db8:1:2:3::4');
    is $redis->command('EXISTS', 'gp:grey:{2001:db8:1:2::/64}:v6@none.test:ann@ours.test'), 1, 'an IPv6 client counts as its /64';
    $mta->stop;

    ($mta, $ask) = gateway(greylist_exempt_spf_pass => 'yes', redis_server => 'unix:/nonexistent/redis', redis_breaker_failures => 1,
        policyd_trouble_actions => 'check_greylist:redis=local');
    is $ask->action(restrictions => 'check_greylist', sender => 'p@provider.test', client_address => '203.0.113.7'), 'DUNNO', 'SPF pass is enough';
    like $ask->action(restrictions => 'check_greylist', sender => 'l@none.test'), qr/Greylisted/, 'Redis away: own memory, as configured';
    like $ask->action(restrictions => 'check_greylist', sender => 'l@none.test'), qr/Greylisted/, 'which works';
    is $ask->action(restrictions => 'check_rate { client=1/1h }'), 'DUNNO', 'rates do so by themselves';
    like $ask->action(restrictions => 'check_rate { client=1/1h }'), qr/^450/, 'and count';
    $mta->stop;
};

done_testing;
