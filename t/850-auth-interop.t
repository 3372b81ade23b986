#!/usr/bin/perl
# t/850-auth-interop.t - our DKIM signatures and ARC seals read by others (dkimpy, opendkim, rspamd), and theirs by us.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use MIME::Base64 qw(encode_base64);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for wait_port);

plan skip_all => 'no ARC milter' unless -x Gatepost::Milter::program('arc');
plan skip_all => 'Net::DNS is not installed' unless eval { require Gatepost::DNS };

my $python = '/usr/bin/python3';
my $dkimpy = system("$python -c 'import dkim, nacl' 2>/dev/null") == 0;
my ($opendkim) = grep { -x } map { "$_/opendkim" } split(/:/, $ENV{PATH}), '/usr/sbin';
my ($rspamd)   = grep { -x } map { "$_/rspamd" } split(/:/, $ENV{PATH}), '/usr/bin';
plan skip_all => 'neither dkimpy nor opendkim nor rspamd is installed' unless $dkimpy || $opendkim || $rspamd;

my $dir = tempdir('gatepost-interop.XXXXXX', TMPDIR => 1, CLEANUP => 1);
Gatepost::Milter::own($dir);
chmod 0755, $dir;

my (%record, %pem);
for my $kind (qw(rsa ed25519)) {
    my $file = $pem{$kind} = "$dir/$kind.pem";
    my $how = $kind eq 'rsa' ? '-algorithm RSA -pkeyopt rsa_keygen_bits:2048' : '-algorithm ed25519';
    system("openssl genpkey $how -out $file 2>/dev/null") == 0 or plan skip_all => 'no openssl command';
    chmod 0600, $file;
    Gatepost::Milter::own($file);
    my $der = `openssl pkey -in $file -pubout -outform DER`;
    $record{"$kind._domainkey.our.test"} = "v=DKIM1; k=$kind; p=" . encode_base64($kind eq 'rsa' ? $der : substr($der, -32), '');
    spew("$dir/$kind.raw", encode_base64(substr(`openssl pkey -in $file -outform DER`, -32), '')) if $kind eq 'ed25519';
}
my $dns = Gatepost::DNS->new(map { $_ => { TXT => [ $record{$_} ] } } keys %record);
spew("$dir/keys", join '', map { "$_ $record{$_}\n" } sort keys %record);

my %set = (dns_servers => $dns->address);
my $table = "inline:{ { our.test = our.test:rsa:$pem{rsa}, our.test:ed25519:$pem{ed25519} } }";
my %signer = map {
    $_ => Gatepost::Milter->new('dkim', $dir, %set, dkim_mode => 'sign', dkim_sign_table => $table, dkim_canonicalization => $_)
} qw(relaxed/simple relaxed/relaxed simple/simple);
my $verifier = Gatepost::Milter->new('dkim', $dir, %set);
my $sealer   = Gatepost::Milter->new('arc', $dir, %set, arc_mode => 'seal', arc_seal => "our.test:rsa:$pem{rsa}");
my $reader   = Gatepost::Milter->new('arc', $dir, %set);

my $plain = join "\r\n", 'From: Ann <ann@our.test>', 'To: bob@far.test', "Subject:  two  blanks\r\n\tand a fold", 'Date: Tue, 24 Nov 2026 12:00:00 +0000',
    'Message-ID: <1@our.test>', 'List-Id: <x.our.test>', 'MIME-Version: 1.0', '', "Hello  you \r\n\r\n .dot\r\n\r\n\r\n";
my %signed = map { my $c = $_; $c => $signer{$c}->mail($plain, client => '192.0.2.7')->{message} } keys %signer;
my $sealed = $sealer->mail($signed{'relaxed/relaxed'}, client => '198.51.100.1')->{message};

sub results {
    my ($milter, $message) = @_;
    return join ' ', $milter->mail($message, client => '198.51.100.1')->{message} =~ /^Authentication-Results: mx\.test;(.*?)\r\n(?![ \t])/ms;
}

# A line of Python over a message on standard input, with our keys for its DNS.
sub python {
    my ($code, $message) = @_;
    spew("$dir/in.eml", $message);
    spew("$dir/run.py", <<"END");
import sys, base64, dkim
keys = dict(line.rstrip('\\n').split(' ', 1) for line in open('$dir/keys'))
def dns(name, timeout=5):
    return keys.get((name.decode() if isinstance(name, bytes) else name).rstrip('.'), '').encode() or None
message = open('$dir/in.eml', 'rb').read()
rsa, ed = open('$pem{rsa}', 'rb').read(), open('$dir/ed25519.raw', 'rb').read()
$code
END
    my $out = `$python $dir/run.py 2>&1`;
    return $out;
}

SKIP: {
    skip 'no dkimpy', 1 unless $dkimpy;
    subtest 'dkimpy' => sub {
        for my $c (sort keys %signed) {
            my $said = python("d = dkim.DKIM(message)\nfor i in range(2): print(d.verify(idx=i, dnsfunc=dns))", $signed{$c});
            is $said, "True\nTrue\n", "verifies ours, $c, RSA and Ed25519";
        }
        is python("print(dkim.arc_verify(message, dnsfunc=dns)[0])", $sealed), "b'pass'\n", 'verifies our seal';
        for my $c ('relaxed/relaxed', 'simple/simple', 'relaxed/simple') {
            my ($h, $b) = split m{/}, $c;
            my $sign = "for key, s, a in ((rsa, b'rsa', b'rsa-sha256'), (ed, b'ed25519', b'ed25519-sha256')):\n"
                . "    message = dkim.sign(message, s, b'our.test', key, canonicalize=(b'$h', b'$b'), signature_algorithm=a) + message\n"
                . "sys.stdout.buffer.write(message)";
            like results($verifier, python($sign, $plain)), qr/dkim=pass.*ed25519-sha256.*dkim=pass.*rsa-sha256/s, "we verify its, $c";
        }
        my $theirs = python("h = dkim.arc_sign(b'X: y\\r\\n' and message, b'rsa', b'our.test', rsa, b'mx.test', timestamp='1000')\n"
            . "sys.stdout.buffer.write(b''.join(h) + message)", "Authentication-Results: mx.test; spf=pass smtp.mailfrom=a\@b.test\r\n$plain");
        like results($reader, $theirs), qr/arc=pass \(i=1\)/, 'we verify its seal' or diag $theirs;
        my $both = $sealer->mail($theirs, client => '198.51.100.1')->{message};
        is python("print(dkim.arc_verify(message, dnsfunc=dns)[0])", $both), "b'pass'\n", 'its set and ours in one chain';
    };
}

SKIP: {
    skip 'no opendkim', 1 unless $opendkim;
    subtest 'opendkim' => sub {
        my $start = sub {
            my ($name, $settings) = @_;
            spew("$dir/$name.conf", "Syslog no\nBackground no\nSocket local:$dir/$name.sock\nUMask 000\nRequireSafeKeys no\n$settings");
            my $pid = spawn("$dir/$name.out", $opendkim, '-f', '-x', "$dir/$name.conf");
            return ($pid, wait_for(sub { Gatepost::MilterClient->connect("$dir/$name.sock") }, 10));
        };
        # It ends when its last client has gone and another looks in.
        my $stop = sub {
            my ($pid, $name, $client) = @_;
            $client->quit if $client;
            kill 'TERM', $pid;
            IO::Socket::UNIX->new(Peer => "$dir/$name.sock");
            finish($pid);
        };
        my ($pid, $client) = $start->(verify => "Mode v\nTestPublicKeys $dir/keys\nAuthservID od.test\n");
        for my $c (sort keys %signed) {
            my $said = Gatepost::MilterClient->connect("$dir/verify.sock")->mail($signed{$c}, client => '198.51.100.1')->{message};
            like $said, qr/^Authentication-Results: od\.test;\s*dkim=pass \(2048-bit key[^)]*\)/m, "verifies ours, $c" or diag $said;
        }
        $stop->($pid, 'verify', $client);
        ($pid, $client) = $start->(sign => "Mode s\nDomain our.test\nSelector rsa\nKeyFile $pem{rsa}\nInternalHosts 192.0.2.0/24\n"
            . "Canonicalization relaxed/relaxed\n");
        my $theirs = $client ? $client->mail($plain, client => '192.0.2.7')->{message} : '';
        like results($verifier, $theirs), qr/dkim=pass \(2048-bit key\)/, 'we verify its' or diag slurp("$dir/sign.out"), $theirs;
        $stop->($pid, 'sign', $client);
    };
}

SKIP: {
    skip 'no rspamd', 1 unless $rspamd;
    subtest 'rspamd' => sub {
        my $port = free_port();
        mkdir "$dir/rspamd";
        chmod 0777, "$dir/rspamd";
        (my $server = $dns->address) =~ s/\@/:/;
        spew("$dir/rspamd.conf", <<"END");
options { pidfile = "$dir/rspamd/pid"; filters = "dkim"; dns { nameserver = "master-slave:$server"; } tempdir = "$dir/rspamd"; local_addrs = []; }
logging { type = "file"; filename = "$dir/rspamd/log"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:$port"; count = 1; }
modules { path = "\${PLUGINSDIR}"; }
lua = "\${RULESDIR}/rspamd.lua";
dkim { check_local = true; check_authed = true; }
arc { check_local = true; check_authed = true; }
END
        my @user = $> == 0 ? ('-u', '_rspamd', '-g', '_rspamd') : ();
        my $pid = spawn("$dir/rspamd.out", $rspamd, '-f', '-c', "$dir/rspamd.conf", @user);
        wait_port($port, 20) or fail('rspamd starts'), diag(slurp("$dir/rspamd.out"), slurp("$dir/rspamd/log")), return finish($pid);
        for my $c (sort keys %signed) {
            spew("$dir/in.eml", $signed{$c});
            my $said = `rspamc -h 127.0.0.1:$port --ip 198.51.100.1 $dir/in.eml 2>&1`;
            like $said, qr/R_DKIM_ALLOW.*our\.test:s=rsa/, "verifies ours, $c" or diag $said;
        }
        spew("$dir/in.eml", $sealed);
        my $said = `rspamc -h 127.0.0.1:$port --ip 198.51.100.1 $dir/in.eml 2>&1`;
        like $said, qr/ARC_ALLOW/, 'verifies our seal' or diag $said;
        finish($pid);
    };
}

done_testing;
