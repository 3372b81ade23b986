#!/usr/bin/perl
# t/820-dmarc.t - the DMARC milter without an MTA: records, alignment, policies, several authors, DNS errors, trusted sealers, rows for reports.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Milter;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Redis;

plan skip_all => 'no DMARC milter' unless -x Gatepost::Milter::program('dmarc');
plan skip_all => 'Net::DNS is not installed' unless eval { require Gatepost::DNS };

my $dir = tempdir('gatepost-dmarc.XXXXXX', TMPDIR => 1, CLEANUP => 1);
Gatepost::Milter::own($dir);

sub record { return { TXT => [@_] } }
my %zone = (
    '_dmarc.reject.test'          => record('v=DMARC1; p=reject; sp=quarantine; rua=mailto:agg@reject.test'),
    '_dmarc.strict.reject.test'   => record('v=DMARC1; p=reject; adkim=s; aspf=s'),
    '_dmarc.none.test'            => record('v=DMARC1; p=none; rua=mailto:agg@none.test,https://x.test/, mailto:b@none.test!10m'),
    '_dmarc.quarantine.test'      => record('v=DMARC1; p=quarantine'),
    '_dmarc.pct.test'             => record('v=DMARC1; p=reject; pct=0'),
    '_dmarc.testing.test'         => record('v=DMARC1; p=reject; t=y'),
    '_dmarc.np.test'              => record('v=DMARC1; p=none; sp=none; np=reject'),
    'there.np.test'               => record('something'),
    '_dmarc.two.test'             => record('v=DMARC1; p=reject', 'v=DMARC1; p=none'),
    '_dmarc.other.test'           => record('v=spf1 -all', 'v=DMARC1; p=reject'),
    '_dmarc.broken.test'          => record('v=DMARC1; p=rejekt'),
    '_dmarc.lenient.test'         => record('v=DMARC1;;p = reject ; pct=lots; what; adkim=?'),
    '_dmarc.unclear.test'         => record('v=DMARC1; p=reject; sp=?; rua=mailto:a@b.test'),
    '_dmarc.down.test'            => { TXT => 'SERVFAIL' },
    '_dmarc.xn--bcher-kva.test'   => record('v=DMARC1; p=reject'),
    '_dmarc.bank.psd'             => record('v=DMARC1; p=reject; psd=y'),
    '_dmarc.a.bank.psd'           => record('v=DMARC1; p=reject'),
    '_dmarc.deep.test'            => record('v=DMARC1; p=none; sp=reject; psd=n'),
);
my $dns = Gatepost::DNS->new(%zone);
my %common = (dns_servers => $dns->address, dmarc_spf_source => 'header', dmarc_dns_timeout => '2s');
my $redis = Gatepost::Redis->new;
my $psl   = Gatepost::Milter->new('dmarc', $dir, %common, $redis ? (redis_server => $redis->endpoint, dmarc_reports => 'yes') : ());

sub message {
    my (%o) = @_;
    my @top = map { "Authentication-Results: mx.test; $_" } @{ $o{results} // [] };
    push @top, "Received-SPF: $o{spf} (mx.test: words) receiver=mx.test; identity=mailfrom" if $o{spf};
    my @from = ref $o{from} ? @{ $o{from} } : $o{from};
    return join "\r\n", @top, @{ $o{top} // [] }, (map { "From: $_" } @from), 'To: bob@our.test', 'Subject: x', '', "Hello\r\n";
}

sub judge {
    my ($milter, %o) = @_;
    my $r = $milter->mail(message(%o), client => '198.51.100.7', from => $o{sender} // 'x@far.test', %{ $o{with} // {} });
    my ($field) = "$r->{message}\r\n" =~ /\AAuthentication-Results: mx\.test;(.*?)\r\n(?![ \t])/s;
    $r->{results} = ($field // '') =~ s/\s+/ /gr;
    return $r;
}

sub verdict { return judge($psl, @_)->{results} }

subtest 'alignment' => sub {
    my $pass = 'dkim=pass header.d=reject.test header.s=s';
    like verdict(from => 'a@reject.test', results => [$pass]), qr/^ dmarc=pass \(p=reject dis=none\) header\.from=reject\.test$/, 'DKIM';
    like verdict(from => 'a@x.reject.test', results => [$pass]), qr/dmarc=pass \(sp=quarantine/, 'DKIM relaxed, of the parent';
    like judge($psl, from => 'a@strict.reject.test', results => [$pass])->{action}, qr/^550 5\.7\.1 .*strict\.reject\.test/,
        'DKIM strict: refused';
    like verdict(from => 'a@reject.test', spf => 'pass', sender => 'x@mail.reject.test'), qr/spf=pass smtp\.mailfrom=x\@mail\.reject\.test; dmarc=pass/, 'SPF';
    is judge($psl, from => 'a@reject.test', spf => 'pass', sender => 'x@far.test')->{action} =~ /^550/ ? 1 : 0, 1, 'SPF of somebody else';
    is judge($psl, from => 'a@reject.test', spf => 'softfail', sender => 'x@reject.test')->{action} =~ /^550/ ? 1 : 0, 1, 'softfail is no pass';
    like verdict(from => 'a@none.test', spf => 'pass', sender => ''), qr/spf=pass smtp\.helo=client\.test; dmarc=fail/, 'null sender: HELO counts';
    for my $r ('dkim=fail header.d=reject.test', 'dkim=pass header.d=evilreject.test', 'dkim=pass header.d=test', 'dkim=pass header.d="x) (; reject.test"') {
        like judge($psl, from => 'a@reject.test', results => [$r])->{action}, qr/^550/, "not by $r";
    }
    like judge($psl, from => 'a@reject.test', top => ['Authentication-Results: other.test; dkim=pass header.d=reject.test'])->{action}, qr/^550/,
        'not by results of others';
};

subtest 'records' => sub {
    like verdict(from => 'a@none.test'), qr/dmarc=fail \(p=none dis=none\)/, 'p=none';
    like verdict(from => 'a@nothing.test'), qr/^ dmarc=none header\.from=nothing\.test$/, 'no record';
    like verdict(from => 'a@quarantine.test'), qr/dmarc=fail \(p=quarantine dis=quarantine\)/, 'quarantine is reported';
    like verdict(from => 'a@sub.reject.test'), qr/dmarc=fail \(sp=quarantine dis=quarantine\)/, 'sp';
    like verdict(from => 'a@pct.test'), qr/dmarc=fail \(p=reject dis=quarantine sampled_out\)/, 'pct=0: the next milder one';
    like verdict(from => 'a@testing.test'), qr/dis=quarantine policy_test_mode/, 't=y';
    like verdict(from => 'a@there.np.test'), qr/\(sp=none/, 'np is not for names that exist';
    like judge($psl, from => 'a@missing.np.test')->{action}, qr/^550/, 'np';
    like verdict(from => 'a@two.test'), qr/dmarc=none/, 'two records are none';
    like judge($psl, from => 'a@other.test')->{action}, qr/^550/, 'one among others';
    like verdict(from => 'a@broken.test'), qr/dmarc=none/, 'no policy, no address: no record';
    like judge($psl, from => 'a@lenient.test')->{action}, qr/^550/, 'broken tags do not spoil it';
    like verdict(from => 'a@unclear.test'), qr/dmarc=fail \(p=none/, 'but a broken policy does, where reports are wanted';
    like verdict(from => 'a@down.test'), qr/dmarc=temperror header\.from=down\.test/, 'no answer';
    like judge($psl, from => "a\@b\xc3\xbccher.test")->{action}, qr/^550 .*xn--bcher-kva/, 'a U-label';
};

subtest 'trouble is temporary' => sub {
    like verdict(from => 'a@reject.test', results => ['dkim=temperror header.d=reject.test']), qr/dmarc=temperror/, 'aligned DKIM without answer';
    like verdict(from => 'a@reject.test', spf => 'temperror', sender => 'a@reject.test'), qr/dmarc=temperror/, 'aligned SPF without answer';
    like judge($psl, from => 'a@reject.test', spf => 'temperror', sender => 'a@far.test')->{action}, qr/^550/, 'not when it could not help';
    my $later = Gatepost::Milter->new('dmarc', $dir, %common, dmarc_on_temperror => 'tempfail', dmarc_on_bad_from => 'reject', dmarc_on_reject => 'accept',
        dmarc_on_quarantine => 'quarantine');
    like judge($later, from => 'a@down.test')->{action}, qr/^451 4\.7\.1/, 'dmarc_on_temperror = tempfail';
    like judge($later, from => 'nobody')->{action}, qr/^550 5\.7\.1/, 'dmarc_on_bad_from = reject';
    like judge($later, from => 'a@reject.test')->{results}, qr/dmarc=fail \(p=reject dis=reject\)/, 'dmarc_on_reject = accept: only reported';
    my $held = judge($later, from => 'a@quarantine.test');
    ok +(grep { $_->[0] eq 'q' } @{ $held->{changes} }), 'dmarc_on_quarantine = quarantine: on hold' or diag explain $held->{changes};
    my $asks = Gatepost::Milter->new('dmarc', $dir, %common, dmarc_spf_source => "unix:$dir/nobody");
    like judge($asks, from => 'a@reject.test', sender => 'a@reject.test')->{results}, qr/spf=temperror .*dmarc=temperror/, 'policyd is away';
};

subtest 'several authors, and none' => sub {
    my $good = ['dkim=pass header.d=reject.test'];
    like judge($psl, from => 'a@none.test, b@reject.test')->{action}, qr/^550 .*reject\.test/, 'the strictest counts';
    like judge($psl, from => [ 'a@none.test', 'b@reject.test' ])->{action}, qr/^550/, 'in several fields, too';
    like verdict(from => 'a@none.test, b@reject.test', results => $good), qr/dmarc=fail.*none\.test; dmarc=pass.*reject\.test/, 'each is told';
    like verdict(from => 'G: a@none.test, c@none.test;'), qr/^ dmarc=fail[^;]*none\.test$/, 'a group, one domain';
    like verdict(from => '"x@reject.test" <a@none.test>'), qr/header\.from=none\.test$/, 'a display name is no address';
    like verdict(from => []), qr/dmarc=permerror \(no From\)/, 'no From';
    like verdict(from => ''), qr/dmarc=permerror/, 'an empty one';
    like verdict(from => join ', ', map { "a\@d$_.test" } 1 .. 9), qr/dmarc=permerror \(From has too many domains\)/, 'too many';
    like verdict(from => 'a@[192.0.2.1]'), qr/dmarc=permerror/, 'an address literal';
    like verdict(from => "a\@x\0.test"), qr/dmarc=\w+/, 'NUL';
    like verdict(from => "\xff\@\xfe.test"), qr/dmarc=permerror/, 'no text';
    is judge($psl, from => 'a@reject.test', with => { client => '192.0.2.9' })->{results}, '', 'internal hosts are not judged';
};

subtest 'tree walk' => sub {
    my $walk = Gatepost::Milter->new('dmarc', $dir, %common, dmarc_org_domain => 'treewalk');
    like judge($walk, from => 'x@a.bank.psd', spf => 'pass', sender => 'x@b.bank.psd')->{action}, qr/^550/, 'psd=y keeps neighbours apart';
    like judge($walk, from => 'x@a.bank.psd', spf => 'pass', sender => 'x@mail.a.bank.psd')->{results}, qr/dmarc=pass/, 'below one of them';
    like judge($walk, from => 'x@a.b.c.d.e.f.g.h.i.deep.test')->{action}, qr/^550/, 'eight names at most, and the record';
    like judge($walk, from => 'x@a.b.deep.test', results => ['dkim=pass header.d=c.deep.test'])->{results}, qr/dmarc=pass \(sp=reject/, 'psd=n';
    like judge($walk, from => 'x@down.test')->{results}, qr/dmarc=temperror/, 'no answer';
};

SKIP: {
    skip 'no redis-server', 1 unless $redis;
    subtest 'rows for reports' => sub {
        my $client = sub { my $out = `redis-cli -s '$redis->{socket}' @_`; return $out };
        my ($key) = split /\n/, $client->("keys 'gp:dmarc:*:none.test'");
        ok defined $key, 'a hash for the domain' or return;
        judge($psl, from => 'a@none.test', sender => 'ann@far.test', spf => 'pass', results => ['dkim=pass header.d=far.test header.s=s1']) for 1 .. 3;
        my %row = split /\n/, $client->("--raw hgetall '$key'");
        my ($row) = grep { /far\.test\/s1\/pass/ } keys %row;
        is $row, join('', map { "$_\t" } '198.51.100.7', 'none', 'fail', 'fail', '', 'none.test', 'far.test', 'far.test/s1/pass', 'far.test', 'mfrom', 'pass'), 'a row';
        is $row{$row}, 3, 'counted';
        like $row{record}, qr/^v=DMARC1; p=none; rua=/, 'and the record';
        unlike $client->('keys "gp:dmarc:*"'), qr/quarantine\.test/, 'none for domains that want none';
        cmp_ok $client->("ttl '$key'"), '>', 0, 'for some days';
        like $client->("--raw get gp:txt:_dmarc.none.test"), qr/^\d+:v=DMARC1; p=none/, 'records are kept for the other gateways';
    };
}

subtest 'reload' => sub {
    my $bin = Gatepost::Milter::program('dmarc');
    my %wrong = (
        'dmarc_on_temperror = reject would' => { dmarc_on_temperror => 'reject' },
        'one of accept, quarantine, reject, tempfail expected' => { dmarc_on_reject => 'maybe' },
        'dmarc_psl_file = "/nowhere"' => { dmarc_psl_file => '/nowhere' },
        'auth_milters does not name "dmarc"' => { auth_milters => 'dkim' },
        'dmarc_spf_source = "x"' => { dmarc_spf_source => 'x' },
    );
    for my $why (sort keys %wrong) {
        my $conf = Gatepost::Milter::configure('dmarc', $dir, 'wrong', %common, %{ $wrong{$why} });
        like scalar(`$bin -c $conf -n 2>&1`), qr/\Q$why\E/, $why;
    }
    $psl->reload;
    ok wait_for(sub { $psl->log =~ /read again/ }, 10), 'SIGHUP';
    like verdict(from => 'a@none.test'), qr/dmarc=fail/, 'goes on';
};

done_testing;
