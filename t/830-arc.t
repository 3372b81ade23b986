#!/usr/bin/perl
# t/830-arc.t - the ARC milter without an MTA: what it seals it verifies, chains of several, broken ones, bad mail, and DMARC's trust in sealers.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use MIME::Base64 qw(encode_base64);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(slurp);

plan skip_all => 'no ARC milter' unless -x Gatepost::Milter::program('arc');
plan skip_all => 'Net::DNS is not installed' unless eval { require Gatepost::DNS };
plan skip_all => 'no openssl command' if system('openssl version >/dev/null 2>&1') != 0;

my $dir = tempdir('gatepost-arc.XXXXXX', TMPDIR => 1, CLEANUP => 1);
Gatepost::Milter::own($dir);

sub key {
    my ($name, @kind) = @_;
    my $file = "$dir/$name.pem";
    system("openssl genpkey @kind -out $file 2>/dev/null") == 0 or die "openssl genpkey @kind";
    chmod 0600, $file;
    Gatepost::Milter::own($file);
    my $der = `openssl pkey -in $file -pubout -outform DER`;
    my $ed  = "@kind" =~ /ed25519/;
    return { TXT => [ 'v=DKIM1; k=' . ($ed ? 'ed25519' : 'rsa') . '; p=' . encode_base64($ed ? substr($der, -32) : $der, '') ] };
}

my $dns = Gatepost::DNS->new(
    's._domainkey.one.test' => key(one => '-algorithm RSA -pkeyopt rsa_keygen_bits:2048'),
    's._domainkey.two.test' => key(two => '-algorithm ed25519'),
    's._domainkey.low.test' => key(low => '-algorithm RSA -pkeyopt rsa_keygen_bits:512'),
    's._domainkey.down.test' => { TXT => 'SERVFAIL' },
    '_dmarc.bank.test'      => { TXT => ['v=DMARC1; p=reject'] },
);
my %common = (dns_servers => $dns->address, arc_dns_timeout => '2s');
my $verify = Gatepost::Milter->new('arc', $dir, %common);
my %seal = map {
    $_ => Gatepost::Milter->new('arc', $dir, %common, authserv_id => "mx.$_.test", arc_mode => 'seal', arc_seal => "$_.test:s:$dir/$_.pem")
} qw(one two);

my $plain = join "\r\n", 'Authentication-Results: mx.one.test; dkim=pass header.d=bank.test; spf=pass smtp.mailfrom=a@bank.test',
    'Authentication-Results: mx.one.test; dmarc=pass (p=reject dis=none) header.from=bank.test', 'Authentication-Results: mx.evil.test; dmarc=pass',
    'From: Ann <ann@bank.test>', 'To: bob@our.test', "Subject:  two  blanks\r\n\tand a fold", 'X-Tight:value', 'DKIM-Signature: v=1; d=bank.test', '',
    "Hello\r\n\r\n world  \r\n";

sub pass_on { my ($milter, $message) = @_; return $milter->mail($message, client => '198.51.100.9') }

sub state {
    my ($message) = @_;
    my $r = pass_on($verify, $message);
    return ($r->{message} =~ /^Authentication-Results: mx\.test;(.*?)\r\n(?![ \t])/ms)[0] =~ s/\s+/ /gr;
}

my $first  = pass_on($seal{one}, $plain)->{message};
my $second = pass_on($seal{two}, $first)->{message};

subtest 'sealed, then verified' => sub {
    like state($plain), qr/^ arc=none smtp\.remote-ip=198\.51\.100\.9$/, 'no chain';
    like $first, qr/\AARC-Seal: i=1; a=rsa-sha256; cv=none;.*?^ARC-Message-Signature: i=1;.*?^ARC-Authentication-Results: i=1; mx\.one\.test/ms, 'a set on top';
    my ($aar) = $first =~ /^(ARC-Authentication-Results:.*?)\r\n(?!\s)/ms;
    like $aar, qr/dkim=pass header\.d=bank\.test;\s+spf=pass smtp\.mailfrom=a\@bank\.test;\s+dmarc=pass .*;\s+arc=none/s, 'with what is known';
    unlike $aar, qr/evil/, 'of our own';
    like state($first), qr/^ arc=pass \(i=1\) header\.d=one\.test smtp\.remote-ip/, 'one set';
    like $second, qr/\AARC-Seal: i=2; a=ed25519-sha256; cv=pass/, 'the second seal';
    like state($second), qr/^ arc=pass \(i=2\) header\.d=two\.test/, 'two sets, RSA and Ed25519';
    unlike $second, qr/[^\r]\n/, 'no bare LF';
    my $more = $second;
    $more = pass_on($seal{ $_ % 2 ? 'one' : 'two' }, $more)->{message} for 3 .. 6;
    like state($more), qr/arc=pass \(i=6\)/, 'six';
    my %old = (steps => Gatepost::MilterClient::ALL_STEPS() & ~Gatepost::MilterClient::LEADSPC());
    my $tight = $plain =~ s/X-Tight:/X-Tight: /r;
    my $m = $seal{one}->client(%old)->mail($tight, client => '198.51.100.9')->{message};
    like $verify->client(%old)->mail($m, client => '198.51.100.9')->{message}, qr/arc=pass/, 'an MTA that strips the blank';
};

subtest 'altered' => sub {
    my %altered = (
        'body'             => [ $second =~ s/Hello/Hallo/r, 'body has been altered' ],
        'Subject'          => [ $second =~ s/two  blanks/more/r, 'signature does not match' ],
        'results'          => [ $second =~ s/(ARC-Authentication-Results: i=1;.*?)dkim=pass/$1dkim=fail/sr, 'signature does not match' ],
        'a seal is gone'   => [ $second =~ s/^ARC-Seal: i=1;.*?\r\n(?!\s)//msr, 'a set is not complete' ],
        'twice'            => [ $second =~ s/^(ARC-Seal: i=1;.*?\r\n)(?!\s)/$1$1/msr, 'a field is there twice' ],
        'a hole'           => [ $second =~ s/\bi=2;/i=3;/gr, 'a set is not complete' ],
        'i=0'              => [ $second =~ s/^ARC-Seal: i=1/ARC-Seal: i=0/mr, 'a field is malformed' ],
        'i=51'             => [ $second =~ s/\bi=2;/i=51;/gr, 'a field is malformed' ],
        'cv'               => [ $second =~ s/cv=pass/cv=none/r, 'a seal says so' ],
        'no key'           => [ $second =~ s/s=s;(?=.*?i=2)/s=t;/sr, 'no key' ],
        'no blank in tags' => [ $second =~ s/ARC-Seal: i=2; a=/ARC-Seal: i=2;; a=/r, 'a field is malformed' ],
        'only the start'   => [ $second =~ s/(ARC-Message-Signature: i=2;)/$1 l=2;/r, 'signature does not match' ],
    );
    for my $what (sort keys %altered) {
        my ($message, $why) = @{ $altered{$what} };
        isnt $message, $second, "$what: something is altered";
        like state($message), qr/^ arc=fail \(\Q$why\E\)/, $what;
    }
    like state($first =~ s/d=one\.test/d=down.test/gr), qr/^ arc=temperror \(key cannot be had now\)/, 'no answer';
    my $broken = pass_on($seal{two}, $first =~ s/Hello/Hallo/r)->{message};
    like $broken, qr/\AARC-Seal: i=2; a=\S+ cv=fail/, 'a broken chain gets a last seal';
    like state($broken), qr/arc=fail/, 'and stays broken';
    unlike pass_on($seal{one}, $broken)->{message}, qr/^ARC-Seal: i=3/m, 'nothing is sealed after it';
    unlike $seal{one}->mail($plain, client => '192.0.2.5')->{message}, qr/^ARC-Seal/m, 'mail of our own people is not sealed';
};

subtest 'trusted sealers and DMARC' => sub {
    my %dmarc = (dns_servers => $dns->address, dmarc_spf_source => 'header');
    my $strict = Gatepost::Milter->new('dmarc', $dir, %dmarc);
    my $trusts = Gatepost::Milter->new('dmarc', $dir, %dmarc, dmarc_trusted_sealers => 'one.test, two.test');
    my $half   = Gatepost::Milter->new('dmarc', $dir, %dmarc, dmarc_trusted_sealers => 'two.test');
    my $ask = sub { my ($milter, $m) = @_; my $r = pass_on($milter, $m); return "$r->{action} " . ($r->{message} =~ /(dmarc=\w+ \([^)]*\))/)[0] };
    my $arrived = $second =~ s/^Authentication-Results:.*?\r\n(?!\s)//msgr;
    like $ask->($strict, $arrived), qr/^550 5\.7\.1/, 'nobody is trusted';
    like $ask->($trusts, $arrived), qr/^continue dmarc=fail \(p=reject dis=none trusted_forwarder\)/, 'both sealers are';
    like $ask->($half, $arrived), qr/^550/, 'one of them is not';
    like $ask->($trusts, $arrived =~ s/Hello/Hallo/r), qr/^550/, 'the chain is broken';
    like $ask->($trusts, $arrived =~ s/ann\@bank/ann\@x.bank/r), qr/^550/, 'another author';
};

subtest 'bad mail' => sub {
    my %bad = (
        'fifty sets'   => join('', map { "ARC-Seal: i=$_; a=rsa-sha256; cv=pass; d=x.test; s=s; b=AAAA\r\nARC-Message-Signature: i=$_; a=rsa-sha256; bh=AA==; d=x.test;"
                . " s=s; h=from; b=AAAA\r\nARC-Authentication-Results: i=$_; x.test; none\r\n" } 1 .. 50) . $plain,
        'many seals'   => ("ARC-Seal: i=1\r\n" x 5000) . $plain,
        'long'         => 'ARC-Seal: i=1; b=' . ('A' x 60_000) . "\r\n$plain",
        'eight bit'    => "ARC-Seal: \xff\xfe=\x80\r\n$plain",
        'no header'    => "X: y\r\n\r\n",
        'names'        => $second =~ s/ h=[^;]*;/' h=' . join(':', 1 .. 3000) . ';'/er,
        'comments'     => 'ARC-Authentication-Results: i=1; ' . ('(' x 50_000) . "\r\n$plain",
    );
    for my $what (sort keys %bad) {
        my $r = pass_on($seal{one}, $bad{$what});
        is $r->{action}, 'continue', $what;
    }
    like state($first), qr/arc=pass/, 'service goes on';
    unlike $seal{one}->log, qr/killed by signal/, 'the same process';
};

subtest 'configuration' => sub {
    my $bin = Gatepost::Milter::program('arc');
    my %wrong = (
        'arc_mode = seal needs arc_seal' => { arc_mode => 'seal' },
        'domain:selector:keyfile'        => { arc_mode => 'seal', arc_seal => 'x' },
        'dkim_min_key_bits'              => { arc_mode => 'seal', arc_seal => "low.test:s:$dir/low.pem" },
        'one of verify, seal expected'   => { arc_mode => 'x' },
    );
    for my $why (sort keys %wrong) {
        my $conf = Gatepost::Milter::configure('arc', $dir, 'wrong', %common, %{ $wrong{$why} });
        like scalar(`$bin -c $conf -n 2>&1`), qr/\Q$why\E/, $why;
    }
};

done_testing;
