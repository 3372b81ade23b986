#!/usr/bin/perl
# t/107-early.t - early checks: access list, clients that speak before their turn, DNS lists with weights, the temporary allow list, the log.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Process qw(free_port);
use Gatepost::Redis;
use Gatepost::Test;
use Test::More;

my %zone = map { ("$_->[0].0.0.127.$_->[1]" => { A => $_->[2] }) } (
    [20, 'secret.one.test', ['127.0.0.2']], [20, 'two.test', ['127.0.0.9']],      # 2 * 2 + 3
    [21, 'two.test', ['127.0.0.9', '127.0.0.4']],                                  # 3 - 1
    [22, 'good.test', ['127.0.5.1']], [22, 'two.test', ['127.0.0.9']],            # 3 - 10
    [23, 'secret.one.test', ['192.0.2.1']],                                        # no list speaking
);
my $dns = Gatepost::DNS->new(%zone);
my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
my %port = map { $_ => free_port() } qw(enforce drop ignore quick backup worded);
my $row = sub { my ($name, $wait, @o) = @_; "127.0.0.1:$port{$name} inet n - n - 1 postscreen\n  -o postscreen_greet_wait=$wait\n" . join '', map { "  -o $_\n" } @o };
my $acts = sub { map { "postscreen_${_}_action=$_[0]" } qw(denylist greet dnsbl) };
my $mta = Gatepost::Test->new(
    files   => { access => "127.0.0.10 reject\n127.0.0.13 reject\n127.0.0.11 permit\n127.0.0.12 dunno\n127.0.0.12 reject\n", map => "secret.one.test one.test\n" },
    main_cf => {
        dns_servers            => $dns->address,
        redis_server           => $redis->endpoint,
        smtpd_authorized_xclient_hosts => '',
        postscreen_access_list => 'permit_mynetworks, cidr:access',
        postscreen_dnsbl_sites => 'secret.one.test*2 secret.one.test=127.0.0.[2..3]*2, two.test*3, two.test=127.0.0.4*-1, good.test=127.0.[0..255].[1..3]*-10',
        postscreen_dnsbl_threshold           => 3,
        postscreen_dnsbl_allowlist_threshold => -5,
        postscreen_dnsbl_reply_map           => 'texthash:map',
    },
    master_cf => join '', $row->('enforce', '1s', $acts->('enforce')), $row->('drop', '1s', $acts->('drop')),
        $row->('ignore', '1s', $acts->('ignore'), 'smtpd_helo_required=no'), $row->('quick', '300s', 'postscreen_greet_banner='),
        $row->('backup', '1s', 'postscreen_allowlist_interfaces=!127.0.0.1,static:all'),
        $row->('worded', '1s', $acts->('enforce'), '{postscreen_discard_ehlo_keywords = chunking, dsn, silent-discard}',
            '{postscreen_reject_footer = \c; ask $server_name}', '{postscreen_reject_footer_maps = regexp:{{/5.5.1 Protocol/ Why so $$$$client_address?}}}'),
        "smtpd pass - - n - 20 smtpd\n  -o smtpd_helo_required=yes\n",
)->start;

sub client { my ($name, $n, %o) = @_; return Gatepost::Chat->new($port{$name}, from => "127.0.0.$n", %o) }
# A line of smtpd's; CLIENT is the client as postscreen writes it.
sub logged {
    my ($n, $what) = @_;
    my $line = quotemeta $what;
    $line =~ s/CLIENT/\\[127\\.0\\.0\\.$n\\]:\\d+/;
    ok $mta->log_has(qr/smtpd\[\d+\]: $line/), "log: $what";
}

my $banner = 'mx.gate.test ESMTP Gatepost';
subtest 'a new client waits, and is known then' => sub {
    my $c = client('enforce', 2);
    is $c->greeting, "220-$banner\n220 $banner", 'both halves of the greeting';
    like $c->say('MAIL FROM:<a@b.test>'), qr/^503 5\.5\.1/, 'settings of the row behind postscreen count (smtpd_helo_required)';
    logged(2, "CONNECT from CLIENT to [127.0.0.1]:$port{enforce}");
    logged(2, 'PASS NEW CLIENT');
    logged(2, 'connect from unknown[127.0.0.2]');
    is client('quick', 2)->greeting, "220 $banner", 'at once the next time';
    is client('drop', 2)->greeting, "220 $banner", 'at any service of any gateway';
    logged(2, 'PASS OLD CLIENT');
    is $redis->command('EXISTS', 'gp:early:127.0.0.2'), 1, 'through Redis';
};

subtest 'the access list' => sub {
    is client('enforce', 11)->greeting, "220 $banner", 'permit';
    logged(11, 'ALLOWLISTED CLIENT');
    my $c = client('drop', 10);
    is $c->greeting, '521 5.3.2 Service currently unavailable', 'reject, drop';
    is $c->line, undef, 'closed';
    logged(10, 'DENYLISTED CLIENT');
    logged(10, 'DISCONNECT CLIENT');
    is client('ignore', 10)->greeting, "220-$banner\n220 $banner", 'reject, ignore';
    is client('ignore', 12)->greeting, "220-$banner\n220 $banner", 'dunno';
    refused('enforce', 13, '550 5.3.2 Service currently unavailable');
};

# A session in which every recipient is refused, and logged.
sub refused {
    my ($name, $n, $reply, $c) = @_;
    $c //= client($name, $n);
    like $c->say('EHLO there'), qr/^250/, "$n: EHLO" unless $c->{pregreeted};
    like $c->say('MAIL FROM:<a@b.test>'), qr/^250 2\.1\.0/, 'MAIL';
    is $c->say('RCPT TO:<c@relay.test>'), $reply, 'RCPT';
    like $c->say('DATA'), qr/^554 5\.5\.1/, 'DATA';
    $c->quit;
    my $helo = $c->{pregreeted} // 'there';
    logged($n, "NOQUEUE: reject: RCPT from CLIENT: $reply; from=<a\@b.test>, to=<c\@relay.test>, proto=ESMTP, helo=<$helo>");
    logged($n, 'DISCONNECT CLIENT');
    unlike $mta->log, qr/connect from unknown\[127\.0\.0\.$n\]/, 'never a client of smtpd';
}

subtest 'speaking first' => sub {
    my $c = client('enforce', 30, silent => 1)->send_raw("EHLO early\r\n");
    is $c->reply, "220-$banner\n220 $banner", 'greeting';
    like $c->reply, qr/^250/, 'EHLO is answered';
    $c->{pregreeted} = 'early';
    refused('enforce', 30, '550 5.5.1 Protocol error', $c);
    ok $mta->log_has(qr/PREGREET 12 after 0(\.\d+)? from \[127\.0\.0\.30\]:\d+: EHLO early\\r\\n/), 'log: PREGREET';
    $c = client('drop', 30, silent => 1)->send_raw("EHLO early\r\n");
    is $c->line, "220-$banner", 'first half';
    is $c->line, '521 5.5.1 Protocol error', 'and out';
    $c = client('ignore', 31, silent => 1)->send_raw("EHLO early\r\n");
    is $c->reply, "220-$banner\n220 $banner", 'ignored';
    like $c->reply, qr/^250/, 'the session goes on';
    is client('enforce', 31)->greeting, "220-$banner\n220 $banner", 'but has to be tested again';
    client('drop', 32, silent => 1)->line;
    ok $mta->log_has(qr/HANGUP after [\d.]+ from \[127\.0\.0\.32\]:\d+ in tests before SMTP handshake/), 'log: HANGUP';
};

subtest 'DNS lists' => sub {
    refused('enforce', 20, '550 5.7.1 Service unavailable; client [127.0.0.20] blocked using two.test');
    logged(20, 'DNSBL rank 7 for CLIENT');
    logged(20, 'addr 127.0.0.20 listed by domain two.test as 127.0.0.9');
    my $c = client('drop', 20);
    like $c->greeting, qr/^220-/, 'first half';
    is client('ignore', 20)->greeting, "220-$banner\n220 $banner", 'ignored';
    is client('enforce', 21)->greeting, "220-$banner\n220 $banner", 'below the threshold';
    is client('quick', 22)->greeting, "220 $banner", 'in an allow list';
    logged(22, 'PASS NEW CLIENT');
    is client('enforce', 22)->greeting, "220 $banner", 'which counts for all checks';
    is client('quick', 23)->greeting, "220 $banner", 'an address outside of 127/8 is no listing';
    ok $mta->log_has(qr/warning: DNS list secret\.one\.test answers 192\.0\.2\.1, which is outside 127\.0\.0\.0\/8/), 'which is told';
};

subtest 'words of its own' => sub {
    my $c = client('worded', 13);
    my $offers = $c->say('EHLO there');
    like $offers, qr/^250-PIPELINING$/m, 'EHLO';
    unlike $offers, qr/CHUNKING|DSN/, 'without what is not offered to whom is refused';
    $c->say('MAIL FROM:<a@b.test>');
    is $c->say('RCPT TO:<c@relay.test>'), '550 5.3.2 Service currently unavailable; ask mx.gate.test', 'and a footer';
    $c = client('worded', 33, silent => 1)->send_raw("EHLO early\r\n");
    $c->reply for 1 .. 2;
    $c->say('MAIL FROM:<a@b.test>');
    is $c->say('RCPT TO:<c@relay.test>'), "550-5.5.1 Protocol error\n550 5.5.1 Why so 127.0.0.33?", '... by reply';
    like client('worded', 34)->say('EHLO there'), qr/CHUNKING/, 'who is not refused is offered everything';
};

subtest 'the backup MX' => sub {
    refused('backup', 40, '450 4.3.2 Service currently unavailable');
    logged(40, 'ALLOWLIST VETO CLIENT');
    is client('backup', 2)->greeting, "220 $banner", 'good for those that are known';
};

$mta->stop;
done_testing;
