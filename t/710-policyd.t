#!/usr/bin/perl
# t/710-policyd.t - the policy daemon over its sockets: tables, DNS lists, SPF, greylisting and rates, with a real Redis and a stub name server.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::DNS;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Redis;
use Gatepost::Test;
use IO::Socket::UNIX;
use Test::More;

$SIG{PIPE} = 'IGNORE'; # hostile clients are cut off while they speak
my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $v6 = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2';
my $dns = Gatepost::DNS->new(
    'a.good.test'      => { A => ['192.0.2.10'] },
    'good.test'        => { MX => ['10 a.good.test.'], NS => ['ns.good.test.'], TXT => ['v=spf1 ip4:192.0.2.10 include:inc.test -all exp=why.good.test'] },
    'inc.test'         => { TXT => ['v=spf1 ip4:198.51.100.0/24 -all'] },
    'why.good.test'    => { TXT => ['%{i} is no host of %{d}'] },
    'soft.test'        => { TXT => ['v=spf1 ~all'] },
    'broken.test'      => { TXT => ['v=spf1 a:%{x} -all'] },
    'down.test'        => { TXT => 'SERVFAIL' },
    'voids.test'       => { TXT => ['v=spf1 a:n1.test a:n2.test a:n3.test a:n4.test +all'] },
    'mail.helo.test'   => { TXT => ['v=spf1 ip4:192.0.2.10 -all'] },
    'self.test'        => { MX => ['10 mx.bad.test.'], A => ['192.0.2.66'] },
    'mx.bad.test'      => { A => ['192.0.2.66'] },
    'null.test'        => { MX => ['0 .'] },
    '9.2.0.192.bl.test' => { A => ['127.0.0.2'], TXT => ['see http://bl.test/$sender'] },
    map({ ("9.2.0.192.late$_.test" => { -together => 3, $_ == 3 ? (A => ['127.0.0.2']) : () }) } 1 .. 3),
    '9.2.0.192.down.test' => { A => 'SERVFAIL' },
    '10.2.0.192.wl.test' => { A => ['127.0.5.3'] },
    'spam.test.rhs.test' => { A => ['127.0.0.2'] },
    "$v6.bl.test"      => { A => ['127.0.0.4'] },
);
my $port = free_port();

sub gateway {
    my (%set) = @_;
    my $mta = Gatepost::Test->new(
        master_cf => "127.0.0.1:$port inet n - n - 0 policyd",
        files     => { rbl => "bl.test=127.0.0.4 \$rbl_code go away \$client_address\n" },
        main_cf   => {
            mynetworks => '10.0.0.0/8', dns_servers => $dns->address, dns_timeout => '3s', recipient_delimiter => '+', greylist_delay => '1s',
            redis_breaker_time => '1s', policyd_workers => 1, %set,
        });
    $mta->start;
    return ($mta, Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd"));
}

my ($mta, $ask) = gateway(
    redis_server    => $redis->endpoint,
    rbl_reply_maps  => 'texthash:$config_directory/rbl',
    smtpd_recipient_restrictions => 'check_client_access inline:{192.0.2=DUNNO}, reject',
);

sub action_is {
    my ($restrictions, $attrs, $want, $name) = @_;
    my $got = $ask->ask(restrictions => $restrictions, %$attrs);
    if (ref $want) {
        like $got->{action}, $want, $name;
    } else {
        is $got->{action}, $want, $name;
    }
    return $got;
}

# The same question until the time has come.
sub passes {
    my ($asker, %attrs) = @_;
    return wait_for(sub { my $got = $asker->ask(%attrs); $got->{action} !~ /Greylisted/ && $got });
}

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
    ok $mta->log_has(qr/unknown smtpd restriction: "check_nothing"/), 'is logged';
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
    action_is join(', ', map { "reject_rbl_client late$_.test" } 1 .. 3), \%bad, qr/^554 .* blocked using late3\.test/,
        'lists that answer when all of them have been asked';
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
    my $first  = $ask->ask(restrictions => 'check_spf', instance => 'same');
    my $second = $ask->ask(restrictions => 'check_spf', instance => 'same', recipient => 'bob@ours.test');
    ok exists $first->{header} && !exists $second->{header}, 'one header for a message, however many recipients';
    is $redis->command('EXISTS', 'gp:spf2:192.0.2.10:joe@good.test:mail.helo.test'), 1, 'the verdict is in Redis';
};

subtest 'greylist' => sub {
    my %who = (sender => 'g1@good.test', client_address => '203.0.113.7');
    my $got = action_is 'check_greylist', \%who, 'DEFER_IF_PERMIT 4.2.0 Greylisted, try again in 1 seconds', 'first contact';
    ok !$got->{whole}, 'text to be prefixed';
    action_is 'check_greylist', { %who, recipient => 'bob@ours.test' }, qr/Greylisted/, 'another recipient';
    is passes($ask, restrictions => 'check_greylist', %who, client_address => '203.0.113.200')->{action}, 'DUNNO', 'back in time, from the same network';
    action_is 'check_greylist', \%who, 'DUNNO', 'and known';
    action_is 'check_greylist', { %who, client_address => '203.0.114.7' }, qr/Greylisted/, 'another network';
    action_is 'check_greylist', { %who, client_address => '10.0.0.1' }, 'DUNNO', 'own networks';
    action_is 'check_greylist', { %who, sender => 'g2@good.test', sasl_username => 'joe' }, 'DUNNO', 'logged in';
    action_is 'check_client_access static:REJECT, check_greylist', { %who, sender => 'g3@good.test' }, 'REJECT', 'refused before it';
    is $redis->command('EXISTS', 'gp:grey:{203.0.113.0/24}:g3@good.test:ann@ours.test'), 0, 'leaves no mark';
};

subtest 'rate' => sub {
    my $limit = 'check_rate { client=3/60s, sender=100/1h }';
    action_is $limit, { client_address => '203.0.113.50' }, 'DUNNO', "event $_" for 1 .. 3;
    action_is $limit, { client_address => '203.0.113.50' }, qr/^450 4\.7\.1 Rate limit exceeded, try again in \d+ seconds$/, 'the fourth';
    action_is $limit, { client_address => '203.0.113.51' }, 'DUNNO', 'another client';
    action_is 'check_rate { planet=1/s }', {}, qr/^451 4\.3\.5/, 'an unknown key';
};

subtest 'a stock Postfix' => sub {
    my $postfix = Gatepost::Ask->new("inet:127.0.0.1:$port", sender => 'pf@good.test');
    my $got = $postfix->ask(restrictions => 'check_client_access static:REJECT');
    like $got->{action}, qr/^DEFER_IF_PERMIT 4\.2\.0 Greylisted/, 'policyd_restrictions, whatever a stranger asks for';
    is_deeply [keys %$got], ['action'], 'one attribute';
    like passes($postfix, instance => 'pf')->{action}, qr/^PREPEND Received-SPF: pass |^DUNNO/, 'passes';
    like $postfix->action(instance => 'pf2'), qr/^PREPEND Received-SPF: pass /, 'the header as an action';
    is $postfix->action(instance => 'pf2'), 'DUNNO', 'once for a message';
};

subtest 'hostile requests' => sub {
    for my $text ("nonsense\n\n", "a" x 10000 . "\n", "x=\0\n\n") {
        my $s = IO::Socket::UNIX->new(Peer => "$mta->{dir}/queue/private/policyd") or die $!;
        print $s $text;
        $s->flush;
        is scalar(<$s>), undef, 'connection closed';
    }
    action_is 'check_client_access static:REJECT', {}, 'REJECT', 'the others go on';
};

$mta->stop;

subtest 'without Redis' => sub {
    ($mta, $ask) = gateway(greylist_header => 'yes', spf_fail_action => 'none');
    action_is 'check_greylist', {}, qr/Greylisted/, 'first contact, in memory';
    my $got = passes($ask, restrictions => 'check_greylist');
    is $got->{action}, 'DUNNO', 'passes';
    like $got->{header}, qr/^X-Greylist: delayed \d seconds by Gatepost at mx\.gate\.test; /, 'header';
    action_is 'check_rate client=1/60s', {}, 'DUNNO', 'rate, in memory';
    action_is 'check_rate client=1/60s', {}, qr/^450/, 'over it';
    action_is 'check_spf', { client_address => '192.0.2.99' }, 'DUNNO', 'SPF fail without an action';
    ok $mta->log_has(qr/redis_server is not set/, times => 1), 'said once';
    $mta->stop;
};

done_testing;
