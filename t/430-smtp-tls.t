#!/usr/bin/perl
# t/430-smtp-tls.t - what is asked of a server's TLS: levels by policy, names, fingerprints, trust anchors, protocols; sessions resumed.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::DNS;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $certs = Gatepost::Certs->new;
$certs->make('mx.good.test');
$certs->make('mx.self.test', by => 'self');
my $other = Gatepost::Certs->new; # an authority nobody knows
my %tls   = map { $_ => { cert => $certs->file("$_.crt"), key => $certs->file("$_.key") } } qw(mx.good.test mx.self.test);
my $good  = Gatepost::Sink->new(tls => $tls{'mx.good.test'});
my $self  = Gatepost::Sink->new(tls => $tls{'mx.self.test'});
my $clear = Gatepost::Sink->new;
my $old   = Gatepost::Sink->new(tls => { %{ $tls{'mx.good.test'} }, version => 'TLSv1_2' });
my $wrap  = Gatepost::Sink->new(tls => { %{ $tls{'mx.good.test'} }, wrapped => 1 });
my %sink  = (good => $good, self => $self, clear => $clear, old => $old, wrap => $wrap);
my $print = $certs->fingerprint('mx.self.test');
my $key   = $certs->key_fingerprint('mx.self.test');

# domain => [sink, policy, what is logged, what the server noted about TLS; undef: nothing]. Policies are by next hop.
my $cannot = qr/dsn=4\.7\.5, status=deferred \(Server certificate not verified\)/;
my $config = qr/dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)/;
my $sent   = qr/dsn=2\.0\.0, status=sent/;
my %cases  = (
    none      => [ good  => 'none',    $sent, undef ],
    may       => [ good  => 'may',     $sent, qr/sni= / ],
    mayclear  => [ clear => 'may',     $sent, undef ],
    mayself   => [ self  => 'may',     $sent, qr/TLS/ ],
    encrypt   => [ self  => 'encrypt', $sent, qr/TLS/ ],
    noencrypt => [ clear => 'encrypt', qr/dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host mx\.good\.test\[127\.0\.0\.1\]\)/, undef ],
    verify    => [ good  => 'verify',  $sent, qr/TLS/ ],
    noverify  => [ self  => 'verify',  $cannot, 'whatever' ],
    matched   => [ good  => 'verify match=other.test:.good.test', $sent, qr/TLS/ ],
    unmatched => [ good  => 'verify match=other.test', $cannot, 'whatever' ],
    secure    => [ good  => 'secure',  $cannot, 'whatever' ],
    secured   => [ good  => 'secure match=nexthop:hostname', $sent, qr/TLS/ ],
    print     => [ self  => "fingerprint match=00:11|$print", $sent, qr/TLS/ ],
    key       => [ self  => 'fingerprint match=' . lc $key, $sent, qr/TLS/ ],
    noprint   => [ good  => "fingerprint match=$print", $cannot, 'whatever' ],
    anchored  => [ self  => 'secure match=mx.self.test tafile=' . $certs->file('mx.self.test.crt'), $sent, qr/TLS/ ],
    unanchored => [ good => 'verify tafile=' . $other->file('ca.crt'), $cannot, 'whatever' ],
    named     => [ good  => 'encrypt servername=hostname', $sent, qr/sni=mx\.good\.test / ],
    sni       => [ good  => 'encrypt servername=chosen.test', $sent, qr/sni=chosen\.test / ],
    protocol  => [ good  => 'encrypt protocols=TLSv1.2', $sent, qr/TLS TLSv1_2 / ],
    tooold    => [ old   => 'encrypt protocols=>=TLSv1.3', qr/dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)/, undef ],
    cipher    => [ good  => 'encrypt protocols=TLSv1.2 ciphers=ECDHE-ECDSA-AES128-GCM-SHA256', $sent, qr/ECDHE-ECDSA-AES128-GCM-SHA256/ ],
    exclude   => [ good  => 'encrypt protocols=TLSv1.2 exclude=AESGCM:CHACHA20', $sent, qr/CBC|SHA384|CCM/ ],
    unknown   => [ good  => 'bogus', $config, undef ],
    badword   => [ good  => 'encrypt match=x.test', $config, undef ],
    badname   => [ good  => 'encrypt color=blue', $config, undef ],
    nodane    => [ good  => 'dane', $config, undef ],
    noprints  => [ good  => 'fingerprint', $config, undef ],
    wrapped   => [ wrap  => 'encrypt', $sent, qr/TLS/ ],
    wrapclear => [ wrap  => 'may', $config, undef ],
);
my $dns = Gatepost::DNS->new(
    (map { ("$_.test" => { MX => ['10 mx.good.test.'] }) } keys %cases), 'sub.parent.test' => { MX => ['10 mx.good.test.'] },
    'mx.good.test' => { A => ['127.0.0.1'] },
);
my $mta = Gatepost::Test->new(
    main_cf => {
        relay_domains         => join(', ', map { "$_.test" } keys %cases, 'sub.parent'),
        transport_maps        => 'inline:{ ' . join(', ', map { '{ ' . "$_.test = " . (/^wrap/ ? 'wrap' : 'smtp') . ":$_.test:" . $sink{ $cases{$_}[0] }->port . ' }' } sort keys %cases)
            . ', { sub.parent.test = parent:sub.parent.test } }',
        dns_servers           => $dns->address,
        dns_hosts_file        => '',
        smtp_tls_policy_maps  => 'texthash:$config_directory/policy',
        smtp_tls_CAfile       => $certs->file('ca.crt'),
        smtp_tls_loglevel     => 1,
        smtp_tls_fingerprint_digest => 'sha256',
        smtp_tls_note_starttls_offer => 'yes',
        minimal_backoff_time  => '300s', maximal_backoff_time => '300s',
    },
    files => { policy => join('', map { "$_.test:" . $sink{ $cases{$_}[0] }->port . " $cases{$_}[1]\n" } sort keys %cases) . ".parent.test encrypt\n" },
    master_cf => "wrap unix - - n - - smtp -o smtp_tls_wrappermode=yes\nparent unix - - n - - smtp -o smtp_tcp_port=" . $clear->port . "\n",
)->start;

my %said = map { $_ => '' } keys %sink;
for my $name (sort keys %cases) {
    my ($sink, $policy, $result, $tls) = @{ $cases{$name} };
    my $before = -e "$sink{$sink}{dir}/.heard" ? $sink{$sink}->heard : '';
    like $mta->send_to("bob\@$name.test"), $result, "$name: $policy";
    my $heard = -e "$sink{$sink}{dir}/.heard" ? substr $sink{$sink}->heard, length $before : '';
    next if defined $tls && $tls eq 'whatever'; # who hangs up does not wait until the server has noted it
    defined $tls ? like $heard, qr/^\d+ TLS .*$tls|^\d+ $tls/m, "$name: TLS" : unlike $heard, qr/^\d+ TLS /m, "$name: no TLS";
}

subtest 'the log' => sub {
    ok $mta->log_has(qr/Untrusted TLS connection established to mx\.good\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher \S+ \(\d+\/\d+ bits\) key-exchange \S+ server-signature ECDSA \(prime256v1\) server-digest SHA256/), 'nobody vouches for it';
    ok $mta->log_has(qr/Trusted TLS connection established/), 'an authority does';
    ok $mta->log_has(qr/Verified TLS connection established/), 'and the name is right';
    ok $mta->log_has(qr/certificate verification failed for mx\.good\.test\[127\.0\.0\.1\]:\d+: server certificate not verified: self-signed certificate/), 'why not';
    ok $mta->log_has(qr/certificate verification failed .*: fingerprint does not match/), 'why not, with fingerprints';
    ok $mta->log_has(qr/Host offered STARTTLS: \[mx\.good\.test\]/), 'what was not used';
    ok $mta->log_has(qr/TLS policy table: unknown level "bogus" in entry "bogus"/), 'an entry that is none';
    ok $mta->log_has(qr/TLS policy table: invalid attribute "match=x\.test" in entry "encrypt match=x\.test"/), 'an attribute out of place';
};

subtest 'a parent of the domain' => sub {
    like $mta->send_to('bob@sub.parent.test'), qr/dsn=4\.7\.4, status=deferred \(TLS is required/, 'its policy';
};

subtest 'sessions' => sub {
    my $before = length $good->heard;
    $mta->send_to("res$_\@verify.test") for 1 .. 3;
    my @tls = substr($good->heard, $before) =~ /^\d+ (TLS .*)$/mg;
    is scalar(grep { /resumed=1/ } @tls), scalar @tls, 'are resumed';
    cmp_ok scalar @tls, '>=', 1, 'in new connections';
    like $mta->send_to('a@unmatched.test'), $cannot, 'not for one that asks for more';
    $before = length $good->heard;
    $mta->send_to("two$_\@protocol.test") for 1 .. 2;
    like substr($good->heard, $before), qr/TLS TLSv1_2 .*resumed=1/, 'with TLS 1.2, too';
};

$mta->stop;
done_testing;
