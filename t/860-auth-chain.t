#!/usr/bin/perl
# t/860-auth-chain.t - dkim, dmarc and arc behind one MTA, each believing the one before it: behind Gatepost, and unchanged behind Postfix.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(free_port slurp wait_port);
use Gatepost::Sink;
use Gatepost::Test;

plan skip_all => 'the milters are not built' if grep { !-x Gatepost::Milter::program($_) } qw(dkim dmarc arc);
plan skip_all => 'Net::DNS is not installed' unless eval { require Gatepost::DNS };
plan skip_all => 'Mail::DKIM is not installed' unless eval { require Mail::DKIM::Signer };
plan skip_all => 'no openssl command' if system('openssl version >/dev/null 2>&1') != 0;

my $dir = tempdir('gatepost-chain.XXXXXX', TMPDIR => 1, CLEANUP => 1);
Gatepost::Milter::own($dir);
my $key = "$dir/key.pem";
system("openssl genrsa -out $key 2048 2>/dev/null") == 0 or die 'openssl genrsa';
chmod 0600, $key;
Gatepost::Milter::own($key);
my $public = `openssl rsa -in $key -pubout 2>/dev/null` =~ s/-----[^-]*-----|\s//gr;

my $dns = Gatepost::DNS->new(
    's._domainkey.bank.test' => { TXT => ["v=DKIM1; k=rsa; p=$public"] },
    's._domainkey.gate.test' => { TXT => ["v=DKIM1; k=rsa; p=$public"] },
    'bank.test'              => { TXT => ['v=spf1 ip4:198.51.100.9 -all'], A => ['198.51.100.9'] },
    '_dmarc.bank.test'       => { TXT => ['v=DMARC1; p=reject'] },
);

# The three with one authserv-id, on ports of their own.
my %option = (dkim => {}, dmarc => { dmarc_spf_source => 'header' }, arc => { arc_mode => 'seal', arc_seal => "gate.test:s:$key" });
my (%port, @milters);
for my $role (qw(dkim dmarc arc)) {
    $port{$role} = free_port();
    push @milters, Gatepost::Milter->new($role, $dir, dns_servers => $dns->address, authserv_id => 'mx.gate.test',
        "${role}_socket" => "inet:127.0.0.1:$port{$role}", %{ $option{$role} });
    wait_port($port{$role}) or die "$role does not listen: " . $milters[-1]->log . slurp("$milters[-1]{conf}/out");
}

sub signed {
    my ($subject) = @_;
    my $text = join "\r\n", 'From: Ann <ann@bank.test>', 'To: bob@relay.test', "Subject: $subject", 'Date: Tue, 01 Jul 2025 10:00:00 +0000',
        "Message-ID: <$subject\@bank.test>", '', 'Hello.', '';
    my $signer = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed/relaxed', Domain => 'bank.test', Selector => 's', KeyFile => $key);
    $signer->PRINT($text);
    $signer->CLOSE;
    return $signer->signature->as_string . "\r\n$text";
}

sub submit {
    my ($mta, $from, $text) = @_;
    my $c = $mta->smtp;
    my $r = $c->xclient(ADDR => '198.51.100.9', NAME => 'out.bank.test', PORT => 4711);
    return $r unless $r =~ /^220/;
    $c->hello('out.bank.test');
    $r = $c->mail($from, 'bob@relay.test', $text);
    $c->quit;
    return $r;
}

# The names and values of the header, in order, on one line each.
sub header { return split /\r\n/, (split /\r\n\r\n/, $_[0], 2)[0] =~ s/\r\n[ \t]+/ /gr }

sub chain {
    my ($mta, $sink, $spf) = @_;
    my $text = "Authentication-Results: mx.gate.test; dmarc=pass header.from=forged.test\r\n" . signed('chained');
    like submit($mta, 'ann@bank.test', $text), qr/^250/, 'good mail is accepted';
    my $got = $sink->wait_message(qr/Subject: chained/) or return fail 'it arrives';
    my @header = header($got->{content});
    my @of_interest = map { /^(ARC-Seal|ARC-Message-Signature|ARC-Authentication-Results|Authentication-Results|Received-SPF|DKIM-Signature):/ ? $1 : () } @header;
    is join(' ', @of_interest), join(' ', qw(ARC-Seal ARC-Message-Signature ARC-Authentication-Results),
        ('Authentication-Results') x 3, $spf ? 'Received-SPF' : (), 'DKIM-Signature'), 'the fields, the newest on top';
    my @results = grep { /^Authentication-Results/ } @header;
    like $results[0], qr/^Authentication-Results: mx\.gate\.test; arc=none/, 'arc was the last';
    like $results[1], qr/^Authentication-Results: mx\.gate\.test;.* dmarc=pass \(p=reject dis=none\) header\.from=bank\.test/, 'dmarc believes dkim';
    like $results[1], qr/spf=pass smtp\.mailfrom=ann\@bank\.test/, 'and policyd' if $spf;
    like $results[2], qr/^Authentication-Results: mx\.gate\.test; dkim=pass .*header\.d=bank\.test/, 'dkim was the first';
    my ($sealed) = grep { /^ARC-Authentication-Results/ } @header;
    like $sealed, qr/i=1; mx\.gate\.test;(?=.* dkim=pass )(?=.* dmarc=pass ).*arc=none/, 'the seal is over what the others found';
    unlike $got->{content}, qr/forged/, 'a result in our name is removed';
    my $broken = signed('broken') =~ s/Hello/Hallo/r;
    like submit($mta, $spf ? 'ann@other.test' : 'ann@bank.test', $broken), qr/^550 5\.7\.1 .*bank\.test/, 'altered mail is refused by dmarc';
}

my $filters = join ', ', map { "inet:127.0.0.1:$port{$_}" } qw(dkim dmarc arc);

subtest 'Gatepost' => sub {
    my $sink = Gatepost::Sink->new;
    my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => {
        dns_servers => $dns->address, smtpd_milters => $filters, smtpd_recipient_restrictions => 'check_spf', })->start;
    chain($mta, $sink, 1);
    $mta->stop;
};

subtest 'Postfix' => sub {
    plan skip_all => 'no Postfix here' unless eval { require Gatepost::Postfix; Gatepost::Postfix::installed() };
    my $sink = Gatepost::Sink->new;
    my $mta = Gatepost::Postfix->new(sink => $sink->port, main_cf => { smtpd_milters => $filters })->start;
    chain($mta, $sink, 0);
    $mta->stop;
};

done_testing;
