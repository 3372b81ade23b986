#!/usr/bin/perl
# t/760-policyd-postfix.t - one policyd behind a real Postfix and behind our smtpd: the same answers to the same clients, and the same header.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::DNS;
use Gatepost::Postfix;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

plan skip_all => 'no Postfix, or not root' unless Gatepost::Postfix::installed();

my %listed = (A => ['127.0.0.2'], TXT => ['seen in traps']);
my $dns = Gatepost::DNS->new(
    'good.test'          => { TXT => ['v=spf1 ip4:192.0.2.10 -all exp=why.good.test'], A => ['192.0.2.10'], MX => ['10 good.test.'] },
    'why.good.test'      => { TXT => ['%{i} is no host of ours'] },
    'soft.test'          => { TXT => ['v=spf1 ~all'] },
    'down.test'          => { TXT => 'SERVFAIL' },
    '66.2.0.192.bl.test' => \%listed,
    '2.0.0.127.bl.test'  => \%listed,
);
my $port = free_port();
my $restrictions = 'check_helo_access inline:{{bad.helo = 554 5.7.0 go away}, {held.helo = HOLD held}}, check_sender_access inline:{{blocked.test = '
    . 'REJECT blocked sender}, {odd.test = DISCARD odd}, {fine.test = OK}}, reject_rbl_client bl.test, check_spf, check_greylist';
my %common = (
    greylist_delay => '1h', greylist_exempt_clients => '192.0.2.0/24', dns_servers => $dns->address, policyd_restrictions => $restrictions,
    mynetworks => '127.0.0.2', policyd_workers => 1,
);
my $asks = "reject_unauth_destination, check_policy_service inet:127.0.0.1:$port";
my $policy_row = "127.0.0.1:$port inet n - n - 0 policyd";

my $sink = Gatepost::Sink->new;
my $ours = Gatepost::Test->new(sink => $sink->port, master_cf => $policy_row, main_cf => { %common, smtpd_recipient_restrictions => $asks })->start;
my $direct = Gatepost::Test->new(sink => $sink->port,
    main_cf => { %common, smtpd_recipient_restrictions => "reject_unauth_destination, $restrictions" })->start;
my $postfix = Gatepost::Postfix->new(sink => $sink->port, main_cf => { smtpd_recipient_restrictions => $asks })->start;

# client, HELO name, sender, what the reply to RCPT is
my @cases = (
    ['192.0.2.10',  'good.test', 'ann@good.test',    qr/^250 2\.1\.5 Ok$/],
    ['192.0.2.11',  'good.test', 'ann@good.test',    qr/^550 5\.7\.23 .*SPF check failed: good\.test does not let 192\.0\.2\.11 send its mail; good\.test explains: 192\.0\.2\.11 is no host of ours$/],
    ['192.0.2.10',  'bad.helo',  'ann@good.test',    qr/^554 5\.7\.0 .*go away$/],
    ['192.0.2.10',  'good.test', 'x@blocked.test',   qr/^554 5\.7\.1 .*blocked sender$/],
    ['192.0.2.66',  'good.test', 'x@soft.test',      qr/^554 5\.7\.1 .*bl\.test.*seen in traps$/],
    ['192.0.2.66',  'good.test', 'x@fine.test',      qr/^250 2\.1\.5 Ok$/],
    ['192.0.2.12',  'good.test', 'x@soft.test',      qr/^250 2\.1\.5 Ok$/],
    ['192.0.2.12',  'good.test', 'x@down.test',      qr/^450 4\.4\.3 .*SPF check of down\.test: temporary DNS failure$/],
    ['192.0.2.12',  'good.test', '',                 qr/^550 5\.7\.23 .*SPF check failed: good\.test/],
    ['192.0.2.10',  'good.test', '',                 qr/^250 2\.1\.5 Ok$/],
    ['203.0.113.5', 'good.test', 'x@soft.test',      qr/^450 4\.2\.0 .*Greylisted, try again in \d+ seconds$/],
    ['2001:db8::7', 'good.test', 'x@soft.test',      qr/^450 4\.2\.0 .*Greylisted, try again in \d+ seconds$/],
    ['192.0.2.10',  'held.helo', 'ann@good.test',    qr/^250 2\.1\.5 Ok$/],
    ['192.0.2.10',  'good.test', 'x@odd.test',       qr/^250 2\.1\.5 Ok$/],
);

sub reply_of {
    my ($mta, $client, $helo, $sender) = @_;
    my $c = $mta->smtp;
    $c->xclient(ADDR => $client =~ /:/ ? "IPV6:$client" : $client, NAME => '[UNAVAILABLE]', PORT => 4711);
    $c->hello($helo);
    $c->say("MAIL FROM:<$sender>");
    my $reply = $c->say('RCPT TO:<bob@relay.test>');
    $c->quit;
    return $reply;
}

# What differs for reasons of its own: how long ago the first question was.
sub bare { return $_[0] =~ s/in \d+ seconds/in N seconds/r }

for my $case (@cases) {
    my ($client, $helo, $sender, $want) = @$case;
    my $theirs = reply_of($postfix, $client, $helo, $sender);
    like $theirs, $want, "Postfix: $client, $helo, <$sender>";
    is bare(reply_of($ours, $client, $helo, $sender)), bare($theirs), 'our smtpd says the same';
    like reply_of($direct, $client, $helo, $sender), $want, 'and with the restrictions by name';
}

my %field;
for my $mta ([ Postfix => $postfix ], [ ours => $ours ], [ 'by name' => $direct ]) {
    my ($name, $m) = @$mta;
    my $c = $m->smtp;
    $c->xclient(ADDR => '192.0.2.10', NAME => '[UNAVAILABLE]', PORT => 4711);
    $c->hello('good.test');
    like $c->mail('ann@good.test', 'bob@relay.test', "Subject: by $name\n\nhello\n"), qr/^250 /, "$name: a message";
    my $text = $sink->wait_message(qr/^Subject: by $name\r?$/m);
    ($field{$name}) = ($text->{content} // '') =~ /^(Received-SPF:.*?)\r?\n(?![ \t])/ms;
    $field{$name} =~ s/\s+/ /g if $field{$name};
}
like $field{Postfix} // '', qr/^Received-SPF: pass \(mx\.gate\.test: .*\) receiver=mx\.gate\.test; identity=mailfrom; envelope-from="ann\@good\.test";/,
    'Postfix: the header of SPF';
is $field{ours}, $field{Postfix}, 'our smtpd: the same';
is $field{'by name'}, $field{Postfix}, 'and with the restrictions by name';

$_->stop for $ours, $direct, $postfix;
done_testing;
