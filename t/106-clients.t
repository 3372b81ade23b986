#!/usr/bin/perl
# t/106-clients.t - whom SPF, DNS lists, greylisting and rates are about: the client that XCLIENT or the PROXY protocol names, and behind relays of
# one's own (trusted_hops) the one that their Received fields name, whatever the number of recipients.
use strict;
use warnings;
use Gatepost::Chat;
use Gatepost::DNS;
use Gatepost::Process qw(free_port);
use Gatepost::Redis;
use Gatepost::Test;
use Socket qw(inet_aton);
use Test::More;

my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my $dns = Gatepost::DNS->new('spf.test' => { TXT => ['v=spf1 ip4:192.0.2.10 -all'] }, '66.2.0.192.bl.test' => { A => ['127.0.0.2'] });
my ($proxy, $hops) = (free_port(), free_port());
my $list = 'check_sender_access inline:{ spf.test=spf_class, rbl.test=rbl_class, grey.test=grey_class, rate.test=rate_class }';
my $mta = Gatepost::Test->new(
    main_cf => {
        dns_servers => $dns->address, redis_server => $redis->endpoint, mynetworks => '10.0.0.0/8', greylist_delay => '600s', default_transport => 'discard', relay_transport => 'discard',
        smtpd_restriction_classes => 'spf_class, rbl_class, grey_class, rate_class', spf_class => 'check_spf', rbl_class => 'reject_rbl_client bl.test', grey_class => 'check_greylist',
        rate_class => 'check_rate { client=1/1h }', smtpd_recipient_restrictions => $list,
    },
    master_cf => "127.0.0.1:$proxy inet n - n - 1 smtpd -o smtpd_upstream_proxy_protocol=haproxy\n"
        . "127.0.0.1:$hops inet n - n - 1 smtpd -o smtpd_recipient_restrictions= -o {trusted_hops = 127.0.0.1, 198.51.100.1} -o {smtpd_end_of_data_restrictions = $list}\n",
)->start;

sub to_rcpt {
    my ($c, $sender) = @_;
    $c->hello;
    $c->say("MAIL FROM:<$sender>");
    return $c->say('RCPT TO:<bob@relay.test>');
}

sub by_proxy {
    my ($header, $sender) = @_;
    my $c = Gatepost::Chat->new($proxy, silent => 1);
    $c->send_raw($header)->reply;
    return to_rcpt($c, $sender);
}

sub by_hops {
    my ($client, $sender, $between, @rcpts) = @_;
    my $c = Gatepost::Chat->new($hops);
    $c->hello;
    return $c->mail($sender, \@rcpts, "${between}Received: from helo.test (unknown [$client])\n\tby one.test (Postfix) with ESMTP id 1; x\nSubject: x\n\nx\n");
}

# Each way has networks and senders of its own, so that no way is remembered for another.
my %ways = (
    'XCLIENT' => sub { my $c = Gatepost::Chat->new($mta->port); $c->say("XCLIENT ADDR=$_[0] NAME=[UNAVAILABLE]"); to_rcpt($c, $_[1]) },
    'PROXY, version 1' => sub { by_proxy("PROXY TCP4 $_[0] 127.0.0.1 4000 25\r\n", $_[1]) },
    'PROXY, version 2' => sub { by_proxy("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" . inet_aton($_[0]) . inet_aton('127.0.0.1') . pack('nn', 4000, 25), $_[1]) },
    'one hop' => sub { by_hops(@_, '', 'bob@relay.test') },
    'one hop, several recipients' => sub { by_hops(@_, '', 'bob@relay.test', 'ann@relay.test') },
    'two hops' => sub { by_hops(@_, "Received: from one.test (one.test [198.51.100.1])\n\tby two.test with ESMTP id 2; x\n", 'bob@relay.test') },
);

my $net = 1;
for my $name (sort keys %ways) {
    my $way = $ways{$name};
    my $client = '203.0.' . $net++ . '.7';
    subtest $name => sub {
        like $way->('192.0.2.10', 'ann@spf.test'), qr/^250/, 'SPF pass';
        like $way->('192.0.2.11', 'ann@spf.test'), qr/^550 5\.7\.(?:1|23) .*SPF/i, 'SPF fail';
        like $way->('192.0.2.10', 'ann@rbl.test'), qr/^250/, 'not in a DNS list';
        like $way->('192.0.2.66', 'ann@rbl.test'), qr/^554 5\.7\.1 Service unavailable; Client host \[192\.0\.2\.66\] blocked using bl\.test/, 'in a DNS list';
        like $way->($client, 'ann@grey.test'), qr/^450 4\.2\.0 .*Greylisted/, 'greylisted';
        ok scalar(grep { /\{\Q203.0.@{[$net - 1]}.0\E\/24\}/ } @{ $redis->command('KEYS', '*grey*') }), '... by the network of the client';
        like $way->('10.0.0.9', 'ann@grey.test'), qr/^250/, '... and one of our own is not';
        like $way->($client, 'ann@rate.test'), qr/^250/, 'within the rate';
        like $way->($client, 'ann@rate.test'), qr/^450 4\.7\.1/, 'beyond it';
        like $way->("203.1.$net.8", 'ann@rate.test'), qr/^250/, '... which is for one client';
    };
}

$mta->stop;
done_testing;
