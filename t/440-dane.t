#!/usr/bin/perl
# t/440-dane.t - DANE (RFC 7672) over signed zones: records that fit, that do not, that are missing, unusable or forged.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::Process qw(slurp spew);
use Gatepost::Sink;
use Gatepost::Test;
use Gatepost::Zones;
use Test::More;

my $certs = Gatepost::Certs->new;
$certs->make('mx-ta.dane.test');
$certs->make('mx.self.test', by => 'self');
spew($certs->file('chain.crt'), slurp($certs->file('mx-ta.dane.test.crt')) . slurp($certs->file('ca.crt')));
my $ta    = Gatepost::Sink->new(tls => { cert => $certs->file('chain.crt'), key => $certs->file('mx-ta.dane.test.key') });
my $port  = $ta->port;
my $ee    = Gatepost::Sink->new(address => '127.0.0.2', port => $port, tls => { cert => $certs->file('mx.self.test.crt'), key => $certs->file('mx.self.test.key') });
my $clear = Gatepost::Sink->new(address => '127.0.0.3', port => $port);

sub digest {
    my ($file, $what) = @_;
    my $der = $what == 1 ? "openssl x509 -in '$file' -noout -pubkey | openssl pkey -pubin -outform DER" : "openssl x509 -in '$file' -outform DER";
    my ($hex) = `$der | openssl dgst -sha256` =~ /= (\w+)/;
    return $hex;
}
my $key   = digest($certs->file('mx.self.test.crt'), 1);
my $sum   = digest($certs->file('mx.self.test.crt'), 0);
my $whole = unpack 'H*', `openssl x509 -in '@{[ $certs->file('mx.self.test.crt') ]}' -outform DER`;
my $ca    = digest($certs->file('ca.crt'), 0);
my $wrong = 'ab' x 32;

# name => [address, TLSA records of its MX host]
my %hosts = (
    ee       => [ 2, "3 1 1 $key" ],
    cert     => [ 2, "3 0 1 $sum" ],
    full     => [ 2, "3 0 0 $whole" ],
    either   => [ 2, "3 1 1 $wrong", "3 1 1 $key" ],
    ta       => [ 1, "2 0 1 $ca" ],
    'ta-name' => [ 1, "2 0 1 $ca" ],
    bad      => [ 2, "3 1 1 $wrong" ],
    none     => [ 2 ],
    pkix     => [ 2, "1 1 1 $key" ],
    short    => [ 2, '3 1 1 abcd' ],
    clear    => [ 3, "3 1 1 $key" ],
    forged   => [ 2, "3 1 1 $key" ],
);
my $zone = '';
for my $name (sort keys %hosts) {
    my ($address, @tlsa) = @{ $hosts{$name} };
    $zone .= "$name MX 10 mx-$name\nmx-$name A 127.0.0.$address\n" . join '', map { "_$port._tcp.mx-$name TLSA $_\n" } @tlsa;
}
$zone .= "alias MX 10 mx-alias\nmx-alias CNAME mx-ee\nbare A 127.0.0.2\n_$port._tcp.bare TLSA 3 1 1 $key\nout MX 10 mx.plain.test.\n";
my $zones = Gatepost::Zones->new(
    'dane.test'  => { signed => 1, text => $zone, edit => sub { s/^(_$port\._tcp\.mx-forged\.dane\.test\.\t.*RRSIG\tTLSA .* )(\S)/$1 . ($2 eq 'A' ? 'B' : 'A')/me or die 'no signature' } },
    'bogus.test' => { signed => 1, text => "\@ MX 10 mx.bogus.test.\nmx A 127.0.0.2\n", edit => sub { s/^(bogus\.test\.\t.*RRSIG\tMX .* )(\S)/$1 . ($2 eq 'A' ? 'B' : 'A')/me or die 'no signature' } },
    'plain.test' => { text => "\@ MX 10 mx.plain.test.\nmx A 127.0.0.2\nhalf MX 10 mx-ee.dane.test.\n_$port._tcp.mx TLSA 3 1 1 $wrong\n" },
);
my @domains = ((map { "$_.dane.test" } sort(keys %hosts), qw(alias bare out)), qw(bogus.test plain.test half.plain.test));
my $mta = Gatepost::Test->new(
    main_cf => {
        relay_domains  => join(', ', @domains),
        transport_maps => 'texthash:$config_directory/transport',
        dns_servers    => $zones->address,
        dns_hosts_file => '',
        dns_trust_anchor_file  => $zones->anchors,
        smtp_dns_support_level => 'dnssec',
        smtp_tls_security_level => 'dane',
        smtp_tls_dane_insecure_mx_policy => 'dane',
        smtp_tls_loglevel      => 2,
        minimal_backoff_time   => '300s', maximal_backoff_time => '300s',
    },
    files     => { transport => join '', map { "only+bob\@$_ only:$_:$port\n$_ smtp:$_:$port\n" } @domains },
    master_cf => "only unix - - n - - smtp -o smtp_tls_security_level=dane-only\n",
)->start;

sub trust {
    my ($host) = @_;
    return join ' ', map { lc } $mta->log =~ /(\w+) TLS connection established to \Q$host\E\[/g;
}

my $sent = qr/dsn=2\.0\.0, status=sent/;
my $deferred = qr/dsn=4\.7\.5, status=deferred/;

subtest 'records that fit' => sub {
    for my $name (qw(ee cert full either ta)) {
        like $mta->send_to("bob\@$name.dane.test"), $sent, $name;
        is trust("mx-$name.dane.test"), 'verified', "$name: by its record";
    }
    like $ee->heard, qr/sni=mx-ee\.dane\.test /, 'the name that the record is at is sent';
    like $mta->send_to('bob@alias.dane.test'), $sent, 'below the name behind a CNAME';
    is trust('mx-alias.dane.test'), 'verified', 'found';
    like $mta->send_to('bob@bare.dane.test'), $sent, 'without MX records';
    is trust('bare.dane.test'), 'verified', 'below the domain itself';
    like $mta->send_to('only+bob@ee.dane.test'), $sent, 'dane-only';
};

subtest 'records that do not' => sub {
    like $mta->send_to('bob@bad.dane.test'), qr/$deferred \(Server certificate not verified\)/, 'another key';
    like $mta->send_to('bob@ta-name.dane.test'), qr/$deferred \(Server certificate not verified\)/, 'the right authority, the wrong name';
    like $mta->send_to('bob@clear.dane.test'), qr/dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host mx-clear\.dane\.test/, 'a server without TLS';
};

subtest 'no records' => sub {
    like $mta->send_to('bob@none.dane.test'), $sent, 'dane: goes on';
    is trust('mx-none.dane.test'), 'untrusted', 'as may does';
    like $mta->send_to('only+bob@none.dane.test'), qr/$deferred \(no TLSA records found for mx-none\.dane\.test\)/, 'dane-only: does not';
    like $mta->send_to('bob@pkix.dane.test'), $sent, 'records for others than mail';
    like $mta->send_to('bob@short.dane.test'), $sent, 'a record too short';
    ok $mta->log_has(qr/mx-short\.dane\.test: TLSA records unusable: TLS level encrypt/), 'TLS is needed all the same';
    like $mta->send_to('only+bob@short.dane.test'), qr/$deferred \(TLSA records unusable for mx-short\.dane\.test\)/, 'dane-only: needs one';
};

subtest 'no DNSSEC' => sub {
    like $mta->send_to('bob@plain.test'), $sent, 'records in a zone without signatures count for nothing';
    is trust('mx.plain.test'), 'untrusted', 'nor does the wrong one';
    like $mta->send_to('only+bob@plain.test'), qr/$deferred \(non DNSSEC destination for mx\.plain\.test\)/, 'dane-only: needs them';
    like $mta->send_to('bob@out.dane.test'), $sent, 'a signed domain with a server that is not';
    like $mta->send_to('only+bob@out.dane.test'), qr/$deferred \(non DNSSEC server for mx\.plain\.test\)/, 'dane-only: needs both';
    like $mta->send_to('bob@half.plain.test'), $sent, 'an unsigned domain with a signed server';
    is trust('mx-ee.dane.test'), 'verified verified trusted', 'it is what it says, but nobody says it is the right one';
};

subtest 'forgeries' => sub {
    like $mta->send_to('bob@bogus.test'), qr/dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name service error for name=bogus\.test type=MX: Host not found, try again\)/, 'a bad signature of the MX records';
    like $mta->send_to('bob@forged.dane.test'), qr/$deferred \(TLSA lookup error for mx-forged\.dane\.test:$port\)/, 'of the TLSA records';
    unlike $ee->heard, qr/mx-forged/, 'nothing is sent there';
};

$mta->stop;
done_testing;
