#!/usr/bin/perl
# t/210-signers.t - opendkim, opendmarc and dkimpy-milter as the distribution has them, through smtpd_milter_maps: what the recipient gets.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Filter;
use Gatepost::OpenDKIM;
use Gatepost::Sink;
use Gatepost::Test;

plan skip_all => 'Mail::DKIM is not installed' unless eval { require Mail::DKIM::Signer; require Mail::DKIM::Verifier; require Mail::DKIM::PublicKey; 1 };
plan skip_all => 'Net::DNS is not installed' unless eval { require Net::DNS };

my $keys = tempdir('gatepost-keys.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $keys;
my $private = "$keys/sel.pem";
system("openssl genrsa -traditional -out $private 2048 2>/dev/null") == 0 or die 'openssl';
chown +(getpwnam Gatepost::Filter::account())[2, 3], $private if $> == 0;
my $public = 'v=DKIM1; k=rsa; p=' . (`openssl rsa -in $private -pubout 2>/dev/null` =~ s/-----[^-]*-----|\s//gr);

my $sink     = Gatepost::Sink->new;
my $verifier = Gatepost::OpenDKIM->new(keys => { 'sel._domainkey.good.test' => $public }) or plan skip_all => 'opendkim is not installed';
my $signer   = Gatepost::OpenDKIM->new(settings => { Mode => 's', Domain => 'good.test', Selector => 'sel', KeyFile => $private,
    InternalHosts => '192.0.2.0/24', UserID => Gatepost::Filter::account() });
my $dkimpy = Gatepost::Filter->dkimpy(domain => 'good.test', selector => 'sel', private => $private);
my $dmarc  = Gatepost::Filter->opendmarc(
    { '_dmarc.good.test' => { TXT => ['v=DMARC1; p=reject'] }, '_dmarc.forged.test' => { TXT => ['v=DMARC1; p=reject'] } },
    AuthservID => 'mx.gate.test', TrustedAuthservIDs => 'opendkim.test', RejectFailures => 'true', SPFIgnoreResults => 'true');

my %chain = ('192.0.2.11' => $verifier->endpoint, '192.0.2.12' => $signer->endpoint);
$chain{'192.0.2.13'} = $dkimpy->endpoint if $dkimpy;
$chain{'192.0.2.14'} = $verifier->endpoint . ', ' . $dmarc->endpoint if $dmarc;
$chain{'192.0.2.15'} = 'DISABLE';

my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { smtpd_milter_maps => 'texthash:maps', smtpd_milters => 'inet:127.0.0.1:9' },
    files   => { maps => join '', map { "$_ $chain{$_}\n" } sort keys %chain },
)->start;

sub message {
    my (%given) = @_;
    my $text = "From: Ann <ann\@$given{domain}>\nTo: bob\@relay.test\nSubject:  two  blanks\n\tand a fold\nX-Id: $given{id}\n"
        . "Date: Tue, 01 Jul 2025 10:00:00 +0000\n\nHello,\n\n.a dot\ntrailing  \n";
    return $text =~ s/\n/\r\n/gr;
}

sub signed {
    my ($text, $method) = @_;
    my $s = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $method, Domain => 'good.test', Selector => 'sel', KeyFile => $private);
    $s->PRINT($text);
    $s->CLOSE;
    return $s->signature->as_string . "\r\n$text";
}

# What Mail::DKIM says about what arrived.
sub verdict {
    my ($text) = @_;
    my $v = Mail::DKIM::Verifier->new;
    no warnings qw(redefine once);
    local *Mail::DKIM::Signature::get_public_key = sub { Mail::DKIM::PublicKey->parse($public) };
    $v->PRINT($text);
    $v->CLOSE;
    return $v->result;
}

sub deliver {
    my ($client, $text) = @_;
    my $c = $mta->smtp;
    $c->xclient(ADDR => $client, NAME => '[UNAVAILABLE]', PORT => 4711);
    $c->hello;
    my $r = $c->mail('ann@good.test', 'bob@relay.test', $text);
    $c->quit;
    return $r;
}

sub arrived {
    my ($id) = @_;
    my $m = $sink->wait_message(qr/^X-Id: \Q$id\E\r$/m);
    return $m ? $m->{content} : '';
}

subtest 'opendkim verifies' => sub {
    for my $method ('relaxed/relaxed', 'simple/simple') {
        my $id = "verify-$method";
        like deliver('192.0.2.11', signed(message(domain => 'good.test', id => $id), $method)), qr/^250/, "$method is taken";
        like arrived($id) =~ s/\r\n\s+/ /gr, qr/^Authentication-Results: opendkim\.test;\s*dkim=pass .*header\.d=good\.test/m, 'the recipient sees pass';
    }
    my $broken = signed(message(domain => 'good.test', id => 'broken'), 'relaxed/relaxed') =~ s/Hello/Hallo/r;
    like deliver('192.0.2.11', $broken), qr/^250/, 'a changed body is taken';
    like arrived('broken') =~ s/\r\n\s+/ /gr, qr/^Authentication-Results: opendkim\.test;\s*dkim=fail/m, 'the recipient sees fail';
};

subtest 'opendkim signs' => sub {
    like deliver('192.0.2.12', message(domain => 'good.test', id => 'sign')), qr/^250/, 'taken';
    my $text = arrived('sign');
    like $text, qr/\ADKIM-Signature: v=1;.*?d=good\.test.*?\r\nReceived: /s, 'signed, above our Received, where opendkim puts it';
    is verdict($text), 'pass', 'the signature holds for what arrived';
};

subtest 'dkimpy-milter signs' => sub {
    plan skip_all => 'dkimpy-milter is not installed' unless $dkimpy;
    like deliver('192.0.2.13', message(domain => 'good.test', id => 'dkimpy')), qr/^250/, 'taken';
    my $text = arrived('dkimpy');
    like $text, qr/^DKIM-Signature: /m, 'signed';
    is verdict($text), 'pass', 'the signature holds for what arrived';
};

subtest 'opendmarc judges by what opendkim found' => sub {
    plan skip_all => 'no opendmarc, or no namespaces for it' unless $dmarc;
    like deliver('192.0.2.14', signed(message(domain => 'good.test', id => 'aligned'), 'relaxed/relaxed')), qr/^250/, 'aligned signature: taken';
    my $text = arrived('aligned') =~ s/\r\n\s+/ /gr;
    like $text, qr/^Authentication-Results: mx\.gate\.test; dmarc=pass .*header\.from=good\.test/m, 'the recipient sees dmarc=pass';
    like $text, qr/^Authentication-Results: opendkim\.test; dkim=pass/m, 'which rests on the result of the filter before';
    like deliver('192.0.2.14', signed(message(domain => 'forged.test', id => 'forged'), 'relaxed/relaxed')), qr/^550 5\.7\.1 .*rejected by DMARC policy for forged\.test/i,
        'a signature of another domain: refused by its policy';
    ok $mta->log_has(qr/milters: inet:\S+ (?:accept|continue) delay=\S+ changes=\S*\+Authentication-Results; unix:\S+ reply=550/), 'the log tells who said what';
};

subtest 'smtpd_milter_maps' => sub {
    like deliver('192.0.2.15', message(domain => 'good.test', id => 'none')), qr/^250/, 'DISABLE: no filter is asked';
    unlike arrived('none'), qr/^(?:Authentication-Results|DKIM-Signature):/m, 'nothing was added';
    like deliver('192.0.2.16', message(domain => 'good.test', id => 'default')), qr/^451 4\.7\.1/, 'not listed: smtpd_milters, which is down';
};

$mta->stop;
done_testing;
