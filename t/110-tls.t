#!/usr/bin/perl
# t/110-tls.t - TLS towards clients: certificates of theirs and of ours, names, resumption by another worker, renewed files.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::Policy;
use Gatepost::Postfix;
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use IO::Socket::SSL;
use Test::More;

my $certs = Gatepost::Certs->new;
$certs->make($_) for qw(mx.gate.test friend.test other.test ours.test wild.test);
$certs->make('stranger.test', by => 'self');
my $policy = Gatepost::Policy->new;
my $sink = Gatepost::Sink->new;
my ($friend, $stranger) = map { $certs->fingerprint($_) } qw(friend.test stranger.test);
my $ours = $certs->key_fingerprint('ours.test');
my $strict = Gatepost::Process::free_port();
my $wrapped = Gatepost::Process::free_port();
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => {
        compatibility_level         => '3.8',
        smtpd_workers               => 2,
        smtpd_tls_security_level    => 'may',
        smtpd_tls_chain_files       => $certs->file('mx.gate.test.pem'),
        smtpd_tls_CAfile            => $certs->file('ca.crt'),
        smtpd_tls_ask_ccert         => 'yes',
        smtpd_tls_received_header   => 'yes',
        smtpd_tls_loglevel          => 2,
        smtpd_tls_exclude_ciphers   => 'AES128',
        tls_server_sni_maps         => 'inline:{ { sni.test = ' . $certs->file('other.test.pem') . ' }, { .wild.test = ' . $certs->file('wild.test.key') . ', '
            . $certs->file('wild.test.crt') . ' } }',
        tls_file_check_interval     => '1s',
        relay_clientcerts           => "inline:{ { $friend = friend }, { $ours = ours } }",
        smtpd_relay_restrictions    => "check_ccert_access inline:{ { $stranger = REJECT 5.7.9 go away } }, permit_tls_clientcerts, reject_unauth_destination",
        smtpd_recipient_restrictions => 'check_policy_service ' . $policy->endpoint,
    },
    master_cf => "127.0.0.1:$strict inet n - n - - smtpd\n -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes"
        . " -o smtpd_relay_restrictions=permit_tls_all_clientcerts,reject\n"
        . "127.0.0.1:$wrapped inet n - n - - smtpd -o smtpd_tls_wrappermode=yes",
)->start;

sub client {
    my ($name, %given) = @_;
    my $c = Gatepost::Chat->new(delete $given{port} // $mta->port);
    $c->hello;
    my @mine = $name ? (SSL_cert_file => $certs->file("$name.crt"), SSL_key_file => $certs->file("$name.key")) : ();
    return $c->starttls(@mine, %given) ? $c : undef;
}

sub rcpt {
    my ($c, $to) = @_;
    $c->say('MAIL FROM:<ann@a.test>');
    return $c->say("RCPT TO:<$to>");
}

sub name_seen { return $_[0] && $_[0]->tls->peer_certificate('cn') }

subtest 'certificates of clients' => sub {
    like rcpt(client(), 'bob@far.test'), qr/^554 5\.7\.1 .*Relay access denied/, 'none: no relaying';
    like rcpt(client('other.test'), 'bob@far.test'), qr/^554 5\.7\.1 .*Relay access denied/, 'certified, but not listed';
    like rcpt(client('friend.test'), 'bob@far.test'), qr/^250/, 'listed by its fingerprint';
    like rcpt(client('ours.test'), 'bob@far.test'), qr/^250/, 'listed by that of its key';
    like rcpt(client('stranger.test'), 'bob@relay.test'), qr/^554 5\.7\.9 <stranger\.test>: Client certificate rejected: go away/,
        'check_ccert_access';
    ok $mta->log_has(qr/unknown\[127\.0\.0\.1\]: subject_CN=friend\.test, issuer=Test CA, fingerprint=\Q$friend\E, pkey_fingerprint=/), 'logged';
    my $told = qr/ smtpd +TLSv1\.3 with cipher \S+ .*; certificate of "friend\.test" by "Test CA", Trusted, fingerprint \Q$friend\E$/m;
    ok wait_for(sub { ($mta->gatepost('explain', '127.0.0.1'))[1] =~ $told }), 'and told to who asks why';
    ok $mta->log_has(qr/Trusted TLS connection established from unknown\[127\.0\.0\.1\]: TLSv1\.3 with cipher/), 'trusted';
    ok $mta->log_has(qr/Untrusted TLS connection established/), 'untrusted';
    ok $mta->log_has(qr/Anonymous TLS connection established/), 'anonymous';
};

subtest 'what policy servers and Received tell' => sub {
    my $c = client('friend.test');
    like $c->mail('ann@a.test', 'bob@relay.test', "Subject: certified\n\nx\n"), qr/^250/, 'sent';
    my ($asked) = reverse grep { $_->{recipient} eq 'bob@relay.test' } $policy->requests;
    is $asked->{ccert_subject}, 'friend.test', 'subject';
    is $asked->{ccert_issuer}, 'Test+20CA', 'issuer, as xtext';
    is $asked->{ccert_fingerprint}, $friend, 'fingerprint';
    is $asked->{ccert_pubkey_fingerprint}, $certs->key_fingerprint('friend.test'), 'fingerprint of the key';
    like $asked->{encryption_protocol}, qr/^TLSv1/, 'protocol';
    my $got = $sink->wait_message(qr/Subject: certified/);
    like $got->{content}, qr/\r\n\t\(using TLSv1\.3 with cipher .*\r\n\t .*\r\n\t client-signature ECDSA \(prime256v1\).*\r\n\t\(Client CN "friend\.test", Issuer "Test CA" \(verified OK\)\)\r\n/,
        'Received';
    like $got->{content}, qr/Issuer "Test CA" \(verified OK\)/, 'verified';
};

subtest 'certificates demanded' => sub {
    like rcpt(client('friend.test', port => $strict), 'bob@far.test'), qr/^250/, 'any of ours';
    my $c = Gatepost::Chat->new($strict);
    $c->hello;
    $c->say('STARTTLS');
    $c->handshake;
    is $c->reply, '421 4.7.1 mx.gate.test Error: No client certificate presented', 'none';
    is $c->reply, '', 'and the connection is closed';
    $c = Gatepost::Chat->new($strict);
    $c->hello;
    $c->say('STARTTLS');
    $c->handshake(SSL_cert_file => $certs->file('stranger.test.crt'), SSL_key_file => $certs->file('stranger.test.key'));
    is $c->reply, '421 4.7.1 mx.gate.test Error: Client certificate not trusted', 'not of ours';
};

subtest 'certificates by name' => sub {
    is name_seen(client(undef, SSL_hostname => 'sni.test')), 'other.test', 'its own';
    is name_seen(client(undef, SSL_hostname => 'a.b.wild.test')), 'wild.test', 'that of its parent';
    is name_seen(client(undef, SSL_hostname => 'unlisted.test')), 'mx.gate.test', 'the usual one';
    is name_seen(client()), 'mx.gate.test', 'no name';
    rcpt(client(undef, SSL_hostname => 'sni.test'), 'sni@relay.test');
    my ($asked) = grep { $_->{recipient} eq 'sni@relay.test' } $policy->requests;
    is $asked->{tls_sni}, 'sni.test', 'a policy server hears it';
    is $asked->{compatibility_level}, '3.8', 'and for which release this is configured';
    like $asked->{mail_version}, qr/^\d+\.\d/, 'and ours';
    ok $mta->log_has(qr/TLS connection established from unknown\[127\.0\.0\.1\] to sni\.test: TLS/), 'logged';
    my $c = Gatepost::Chat->new($wrapped, silent => 1);
    $c->handshake(SSL_hostname => 'sni.test');
    like $c->reply, qr/^220/, 'TLS from the first octet';
    is name_seen($c), 'other.test', 'with a name as well';
};

subtest 'ciphers' => sub {
    ok !client(undef, SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-ECDSA-AES128-GCM-SHA256'), 'an excluded one is refused';
    ok client(undef, SSL_version => 'TLSv1_2', SSL_cipher_list => 'ECDHE-ECDSA-AES256-GCM-SHA384'), 'another one is not';
};

# Both workers take connections in turn: a ticket of one is opened by the other.
subtest 'sessions are resumed by any worker' => sub {
    my ($saved, $resumed, %workers) = ($certs->file('session'), 0);
    for my $version ('-tls1_2', '-tls1_3') {
        unlink $saved;
        for (1 .. 6) {
            my $with = -e $saved ? "-sess_in $saved" : '';
            $resumed++ if `echo QUIT | openssl s_client -ign_eof -starttls smtp -connect 127.0.0.1:@{[ $mta->port ]} $version $with -sess_out $saved 2>&1` =~ /^Reused/m;
        }
    }
    my $log = $mta->log;
    $workers{$1}++ while $log =~ /smtpd\[(\d+)\]: Anonymous TLS connection/g;
    is $resumed, 10, 'all but the first of each version';
    cmp_ok scalar(keys %workers), '>', 1, 'by several workers';
};

subtest 'renewed certificates' => sub {
    my $old = client();
    my $serial = sub { my $c = client() or return ''; return $c->tls->peer_certificate('cn') };
    $certs->make('new.test');
    my $good = slurp($certs->file('mx.gate.test.pem'));
    spew($certs->file('mx.gate.test.pem'), "broken\n");
    ok $mta->log_has(qr/the certificates in use stay/), 'broken files are not used';
    is $serial->(), 'mx.gate.test', 'the old certificate is';
    spew($certs->file('mx.gate.test.pem'), slurp($certs->file('new.test.pem')));
    ok wait_for(sub { $serial->() eq 'new.test' }), 'new ones are used without a reload';
    like $old->say('NOOP'), qr/^250/, 'sessions go on';
};

# ---- beside a Postfix with the same main.cf ----

my $leaf = $certs->fingerprint('ours.test');
my @listeners = (
    [ optional => {} ],
    [ ask => { smtpd_tls_ask_ccert => 'yes' }, qw(nobody friend stranger) ],
    [ require => { smtpd_tls_req_ccert => 'yes', smtpd_tls_security_level => 'encrypt', smtpd_relay_restrictions => 'permit_tls_all_clientcerts, reject' }, qw(nobody friend stranger) ],
    [ require_optional => { smtpd_tls_req_ccert => 'yes' }, qw(nobody friend) ],
    [ access => { smtpd_tls_ask_ccert => 'yes', smtpd_relay_restrictions => "check_ccert_access inline:{ {$stranger=REJECT 5.7.9 go away}, {$friend=OK}, {$ours=PERMIT} }, reject_unauth_destination" }, qw(nobody friend ours stranger) ],
    [ order => { smtpd_tls_ask_ccert => 'yes', smtpd_relay_restrictions => "check_ccert_access { inline:{ {$leaf=REJECT certificate}, {$ours=OK}, {$friend=OK} } { search_order = pubkey_fingerprint, cert_fingerprint } }, reject_unauth_destination" }, qw(friend ours stranger) ],
    [ key_only => { smtpd_tls_ask_ccert => 'yes', smtpd_relay_restrictions => "check_ccert_access { inline:{ {$friend=OK}, {$ours=OK} } { search_order = pubkey_fingerprint } }, reject_unauth_destination" }, qw(friend ours) ],
    [ high => { smtpd_tls_security_level => 'encrypt', smtpd_tls_mandatory_ciphers => 'high', smtpd_tls_mandatory_exclude_ciphers => 'aNULL, AES256', smtpd_tls_mandatory_protocols => '>=TLSv1.2' } ],
    [ null => { smtpd_tls_ciphers => 'null', smtpd_tls_protocols => '!TLSv1.3' }, qw(nobody eNULL) ],
    [ wrapped => { smtpd_tls_wrappermode => 'yes' }, qw(nobody named) ],
);
my @old = (SSL_cipher_list => 'ALL:@SECLEVEL=0');
my %clients = (nobody => [], map({ my $n = $_; $n => [ SSL_cert_file => $certs->file("$n.test.crt"), SSL_key_file => $certs->file("$n.test.key") ] } qw(friend ours stranger)),
    named => [ SSL_hostname => 'sni.test' ], unnamed => [ SSL_hostname => 'unlisted.test' ], curve => [ SSL_ecdh_curve => 'P-256' ], 'TLS 1.0' => [ @old, SSL_version => 'TLSv1' ],
    map({ $_ => [ SSL_version => 'TLSv1_2', SSL_cipher_list => $_ . ':@SECLEVEL=0' ] } qw(ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 aNULL eNULL)));

# What the client saw, and what was logged of it.
sub session {
    my ($server, $port, $wrapped, @given) = @_;
    my $logged = length $server->log;
    my $c = Gatepost::Chat->new($port, silent => 1);
    my @seen = $wrapped ? () : ($c->reply, $c->hello && $c->say('STARTTLS'));
    if ($c->handshake(@given)) {
        push @seen, $c->tls->get_sslversion, $c->tls->get_cipher, $c->tls->peer_certificate('cn') // '', $wrapped ? $c->reply : ();
        for my $say ('EHLO client.test', 'MAIL FROM:<a@a.test>', 'RCPT TO:<bob@far.test>', 'RCPT TO:<bob@relay.test>', 'QUIT') {
            push @seen, $c->say($say) =~ s/\n.*//sr;
            last if $seen[-1] =~ /^421|^$/;
        }
    } else {
        push @seen, 'no TLS';
    }
    close $c->{sock};
    wait_for(sub { substr($server->log, $logged) =~ /disconnect from/ });
    push @seen, grep { /TLS (?!library)|reject:/ && !/requested|TLS is required/ } substr($server->log, $logged) =~ /smtpd\[\d+\]: (.*)/g;
    return join "\n", map { s/ESMTP \w+$/ESMTP/r } @seen;
}

sub received {
    my ($port, @given) = @_;
    my $mark = 'mark' . int rand 1e9;
    my $c = Gatepost::Chat->new($port);
    $c->hello;
    $c->starttls(@given);
    $c->mail('a@a.test', 'bob@relay.test', "Subject: $mark\n\nx\n");
    my ($header) = $sink->wait_message(qr/Subject: $mark/)->{content} =~ /^(Received:.*?); /s;
    return $header =~ s/\(Postfix\)/(Gatepost)/r =~ s/ id \w+/ id ID/r;
}

SKIP: {
    skip 'no Postfix to compare with, or no root to run it', 1 unless Gatepost::Postfix::installed();
    skip 'compared without sanitizers', 1 if $ENV{ASAN_OPTIONS};
    my (@ports, @servers);
    for my $class ('Gatepost::Test', 'Gatepost::Postfix') {
        my %port = map { $_->[0] => Gatepost::Process::free_port() } @listeners;
        my $rows = join '', map { my ($name, $set) = @$_; join "\n", "127.0.0.1:$port{$name} inet n - n - - smtpd", (map { "  -o {$_ = $set->{$_}}" } sort keys %$set), '' } @listeners;
        push @ports, \%port;
        push @servers, $class->new(sink => $sink->port, master_cf => $rows, main_cf => {
            smtpd_tls_security_level => 'may', smtpd_tls_chain_files => $certs->file('friend.test.pem'), smtpd_tls_CAfile => $certs->file('ca.crt'),
            smtpd_tls_received_header => 'yes', smtpd_tls_loglevel => 1, tls_server_sni_maps => 'inline:{ {sni.test=' . $certs->file('other.test.pem') . '} }',
            relay_clientcerts => "inline:{ {$friend=friend}, {$ours=ours} }", smtpd_relay_restrictions => 'permit_tls_clientcerts, reject_unauth_destination' })->start;
    }
    for (@listeners) {
        my ($listener, $set, @clients) = @$_;
        for my $client (@clients ? @clients : sort keys %clients) {
            my ($we, $they) = map { session($servers[$_], $ports[$_]{$listener}, $listener eq 'wrapped', @{ $clients{$client} }) } 0, 1;
            is $we, $they, "as Postfix: $listener, $client";
        }
    }
    is received($ports[0]{ask}, @{ $clients{$_} }), received($ports[1]{ask}, @{ $clients{$_} }), "Received as Postfix has it: $_" for qw(nobody friend stranger named curve);
    $_->stop for @servers;
}

$mta->stop;
done_testing;
