#!/usr/bin/perl
# t/750-policy-tools.t - policyd for its operators: gatepost ask, greylist, rate and shadow report, with Redis and without.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::DNS;
use Gatepost::Process qw(spew);
use Gatepost::Redis;
use Gatepost::Test;
use JSON::PP;
use Test::More;

my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $dns = Gatepost::DNS->new(
    'good.test'         => { TXT => ['v=spf1 ip4:192.0.2.10 -all'] },
    '9.2.0.192.bl.test' => { A => ['127.0.0.2'], TXT => ['by bl'] },
    '2.0.0.127.bl.test' => { A => ['127.0.0.2'] },
);
my ($mta, $policyd);

sub start {
    $mta = Gatepost::Test->new(main_cf => { dns_servers => $dns->address, policyd_workers => 1, greylist_delay => '1h', @_ })->start;
    $policyd = Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd");
}

# Lines of a command that has to succeed.
sub lines {
    my ($code, $text) = $mta->gatepost(@_);
    is $code, 0, "@_" or diag $text;
    return grep { !/^gatepost: redis_server is not set: / } split /\n/, $text;
}

sub objects { return map { decode_json($_) } lines(@_) }

start(
    redis_server => $redis->endpoint, redis_timeout_ms => 1000, greylist_auto_allow => 0,
    smtpd_client_restrictions => 'permit_mynetworks, reject_rbl_client bl.test',
    smtpd_restriction_classes => 'grey', grey => 'check_greylist, check_rate { client=2/1h }',
    smtpd_recipient_restrictions => 'reject_unauth_destination, check_spf, grey, check_shadow lists',
    policyd_restriction_classes => 'lists', lists => 'check_helo_access static:REJECT');

subtest 'ask' => sub {
    my @lines = lines(qw(ask client=192.0.2.9 sender=a@x.test recipient=b@relay.test helo=h.test));
    is $lines[0], 'by: reject_rbl_client', 'who decided';
    is $lines[1], 'action: 554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.test; by bl', 'the action';
    is $lines[2], '    smtpd_client_restrictions: smtpd itself decides about permit_mynetworks', 'what only smtpd knows';
    like $lines[3], qr/^    reject_rbl_client bl\.test: 554 .* \(9\.2\.0\.192\.bl\.test A 127\.0\.0\.\d+, TXT "by bl"\), \d+ ms$/, 'and what the DNS said';
    is scalar @lines, 4, 'nothing is looked at behind it';

    my ($got) = objects(qw(ask --json client=192.0.2.10 sender=a@good.test recipient=b@relay.test helo=h.test));
    like $got->{action}, qr/^DEFER_IF_PERMIT 4\.2\.0 Greylisted/, 'another one has to wait';
    is $got->{by}, 'check_greylist', 'by that check';
    like $got->{headers}[0], qr/^Received-SPF: pass/, 'the header fields';
    like join("\n", @{ $got->{reasons} }), qr/check_spf: DUNNO \(pass of good\.test by ip4:192\.0\.2\.10; TXT good\.test "v=spf1 ip4:192\.0\.2\.10 [^"]*"\)/, 'SPF passed, by this record';
    like $got->{reasons}[-1], qr/^shadow lists: would reject by check_helo_access: REJECT$/, 'the shadow policy, too';
    is $redis->command('KEYS', '*grey*')->[0], undef, 'and no mark is left';

    ($got) = objects('ask', '--json', 'restrictions=check_helo_access inline:{{h.test=HOLD}}', 'helo=h.test');
    is $got->{action}, 'HOLD', 'restrictions of the operator';
    my ($code, $text) = $mta->gatepost('ask', 'nonsense');
    is $code, 64, 'no attribute';
    ($code, $text) = $mta->gatepost('ask', '--at', "unix:$mta->{dir}/nothing", 'client=192.0.2.9');
    is $code, 69, 'nobody there';
    like $text, qr/policyd cannot be reached/, 'says so';
};

sub greylist {
    my ($where) = @_;
    my $grey = sub { return $policyd->action(restrictions => 'check_greylist', recipient => 'b@relay.test', @_) };
    like $grey->(client_address => '203.0.113.5', sender => 'a@x.test'), qr/Greylisted/, "$where: one waits";
    like $grey->(client_address => '203.0.113.5', sender => ''), qr/Greylisted/, 'the null sender, too';
    like $grey->(client_address => '198.51.100.5', sender => 'c@x.test'), qr/Greylisted/, 'and another network';
    my @list = objects(qw(greylist list --json));
    is scalar @list, 3, 'three are listed';
    my ($one) = grep { $_->{who} eq '203.0.113.0/24' && $_->{sender} eq 'a@x.test' } @list;
    is_deeply [ @$one{qw(recipient state)} ], [ 'b@relay.test', 'waiting' ], 'one of them';
    ok $one->{wait} > 3500 && $one->{wait} <= 3600, 'how long it waits';
    is scalar(grep { /^who=/ } lines(qw(greylist list 203.0.113.77))), 2, 'by address';
    is scalar(grep { /^who=/ } lines(qw(greylist list 203.0.113.0/24 <>))), 1, 'by sender';
    is join(' ', lines(qw(greylist allow 203.0.113.5 a@x.test b@relay.test))), '1 allowed', 'one is let through';
    is $grey->(client_address => '203.0.113.5', sender => 'a@x.test'), 'DUNNO', 'and passes';
    like $grey->(client_address => '203.0.113.5', sender => ''), qr/Greylisted/, 'the other one does not';
    lines(qw(greylist allow 203.0.113.0/24));
    is $grey->(client_address => '203.0.113.200', sender => 'new@x.test'), 'DUNNO', 'a network is let through';
    is scalar(grep { /state=allowed/ } lines(qw(greylist list 203.0.113.0/24))), 1, 'which is listed';
    like join(' ', lines(qw(greylist forget 203.0.113.0/24))), qr/^3 forgotten/, 'all of it is forgotten';
    like $grey->(client_address => '203.0.113.5', sender => 'a@x.test'), qr/Greylisted/, 'and starts anew';
    is scalar(grep { /^who=198/ } lines(qw(greylist list))), 1, 'the other network is still there';
    my ($code, $text) = $mta->gatepost(qw(greylist forget));
    is $code, 64, 'forget nobody';
    like $text, qr/usage: greylist forget WHO/, 'usage';
}

sub rates {
    my ($where) = @_;
    my $limit = 'check_rate { sender=2/1h, sender:recipients=10/1h/5, client=100/1h }';
    is $policyd->action(restrictions => $limit, sender => 'u@x.test'), 'DUNNO', "$where: event $_" for 1 .. 2;
    like $policyd->action(restrictions => $limit, sender => 'u@x.test'), qr/^450/, 'over the limit';
    my %by = map { ("$_->{value} $_->{limit}" => $_) } objects(qw(rate show --json));
    is $by{'u@x.test sender=2/1h'}{used}, 2, 'both are used';
    is $by{'u@x.test sender=2/1h'}{of}, 2, 'of two';
    is $by{'u@x.test sender:recipients=10/1h/5'}{of}, 5, 'the other limit';
    is $by{'192.0.2.10 client=100/1h'}{used}, 2, 'the client';
    is scalar(grep { /^value=/ } lines(qw(rate show u@x.test))), 2, 'by value';
    like join(' ', lines('rate', 'reset', 'u@x.test', 'sender=2/1h')), qr/^1 reset/, 'one is reset';
    is $policyd->action(restrictions => $limit, sender => 'u@x.test'), 'DUNNO', 'and counts from nothing';
    like join(' ', lines(qw(rate reset u@x.test))), qr/^2 reset/, 'the rest, too';
    is scalar(grep { /^value=/ } lines(qw(rate show u@x.test))), 0, 'nothing left';
}

subtest 'greylist, in Redis' => sub { greylist('Redis') };
subtest 'rate, in Redis' => sub { rates('Redis') };

subtest 'shadow report' => sub {
    my %what = (restrictions => 'check_shadow lists, check_shadow { check_client_access static:OK }');
    $policyd->action(%what, sender => "s$_, odd\@x.test") for 1 .. 3;
    ok $mta->log_has(qr/shadow: policy=lists/, times => 3), 'differences are logged';
    my @lines = lines(qw(shadow report));
    is $lines[0], 'policy lists', 'by policy';
    is $lines[1], '       3  did go on, would reject, by check_helo_access', 'what, how often';
    is $lines[2], '          e.g. a.good.test[192.0.2.10] from=<s3, odd@x.test> to=<ann@ours.test>: REJECT', 'for example';
    is $lines[3], 'policy unnamed', 'the next policy';
    my @got = objects('shadow', 'report', '--json', "$mta->{dir}/log");
    is_deeply [ map { "$_->{policy} $_->{count} $_->{would}" } @got ], [ 'lists 3 reject', 'unnamed 3 permit' ], 'for programs';
    spew("$mta->{dir}/empty", '');
    is((lines('shadow', 'report', "$mta->{dir}/empty"))[0], 'no differences', 'an empty log');
    my ($code) = $mta->gatepost('shadow', 'report', "$mta->{dir}/nothing");
    is $code, 66, 'no log';
};
$mta->stop;

start(greylist_auto_allow => 0);
subtest 'greylist, in memory' => sub { greylist('memory') };
subtest 'rate, in memory' => sub { rates('memory') };
subtest 'strangers' => sub {
    is $policyd->ask(request => 'rate_show', value => 'none')->{memory}, 'own', 'root may ask';
    my $stranger = (getpwnam('nobody'))[2];
    SKIP: {
        skip 'not root', 1 if $> != 0;
        local $> = $stranger;
        my $got = Gatepost::Ask->new("unix:$mta->{dir}/queue/private/policyd");
        is eval { $got->ask(request => 'rate_show', value => 'none')->{memory} }, undef, 'others may not';
    }
};
$mta->stop;
done_testing;
