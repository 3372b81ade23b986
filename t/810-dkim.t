#!/usr/bin/perl
# t/810-dkim.t - the DKIM milter without an MTA: what it signs it verifies, others' signatures (Mail::DKIM), forged results, policy, bad mail.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $top;
BEGIN { $top = dirname(dirname(abs_path(__FILE__))) }
use lib "$top/t/lib";

my $build = $ENV{GATEPOST_BUILD} || "$top/build";
my $bin   = "$build/libexec/gatepost/dkim";
plan skip_all => "no $bin" unless -x $bin;
plan skip_all => 'Net::DNS is not installed' unless eval { require Net::DNS };
plan skip_all => 'no openssl command' if system('openssl version >/dev/null 2>&1') != 0;
my $have_mail_dkim = eval { require Mail::DKIM::Signer; require Mail::DKIM::PrivateKey; require Mail::DKIM::Verifier; require Mail::DKIM::PublicKey; 1 };

require Gatepost::DNS;
require Gatepost::MilterClient;
require Gatepost::Process;
Gatepost::Process->import(qw(finish slurp spawn spew wait_for));

my $dir = tempdir('gatepost-dkim.XXXXXX', TMPDIR => 1, CLEANUP => 1);
# Root's milters become this user, who has to read the keys.
my ($owner) = grep { defined getpwnam $_ } qw(daemon mail nobody);
my $own = sub { chown +(getpwnam $owner)[2, 3], @_ if $> == 0 };
mkdir "$dir/keys";
$own->($dir, "$dir/keys");
my %running;
my $main_pid = $$;
END {
    if (defined $main_pid && $$ == $main_pid) {
        local $?;
        finish($_) for values %running;
    }
}

# ---- keys ----

# A private key file and its key record.
sub key {
    my ($name, @kind) = @_;
    my $file = "$dir/keys/$name.pem";
    system("openssl genpkey @kind -out $file 2>/dev/null") == 0 or die "openssl genpkey @kind";
    chmod 0600, $file;
    $own->($file);
    my $der = `openssl pkey -in $file -pubout -outform DER`;
    my $ed  = "@kind" =~ /ed25519/i;
    require MIME::Base64;
    return 'v=DKIM1; k=' . ($ed ? 'ed25519' : 'rsa') . '; p=' . MIME::Base64::encode_base64($ed ? substr($der, -32) : $der, '');
}

my %record = (
    rsa  => key(rsa  => '-algorithm RSA -pkeyopt rsa_keygen_bits:2048'),
    weak => key(weak => '-algorithm RSA -pkeyopt rsa_keygen_bits:512'),
    ed   => key(ed   => '-algorithm ed25519'),
);
my $dns = Gatepost::DNS->new(
    'rsa._domainkey.our.test'     => { TXT => [ $record{rsa} ] },
    'ed._domainkey.our.test'      => { TXT => [ $record{ed} ] },
    'weak._domainkey.our.test'    => { TXT => [ $record{weak} ] },
    'revoked._domainkey.our.test' => { TXT => ['v=DKIM1; p='] },
    'broken._domainkey.our.test'  => { TXT => ['v=DKIM1; p=AAAA'] },
    'down._domainkey.our.test'    => { TXT => 'SERVFAIL' },
);

# ---- the milter, one for each set of settings ----

sub config {
    my ($name, %set) = @_;
    my $conf = "$dir/$name";
    mkdir $_ for $conf, "$conf/queue";
    $own->($conf, "$conf/queue");
    my %all = (
        myhostname          => 'mx.test',
        mail_owner          => $owner,
        mynetworks          => '192.0.2.0/24',
        dns_servers         => $dns->address,
        queue_directory     => "$conf/queue",
        maillog_file        => "$conf/log",
        maillog_file_prefixes => "$dir",
        dkim_socket         => "unix:$conf/sock",
        %set,
    );
    spew("$conf/main.cf", join '', map { "$_ = $all{$_}\n" } sort keys %all);
    return $conf;
}

sub start {
    my ($name, %set) = @_;
    my $conf = config($name, %set);
    $running{$name} = spawn("$conf/out", $bin, '-c', $conf, '-f');
    return sub {
        my $client = wait_for(sub { Gatepost::MilterClient->connect("$conf/sock", @_) }, 10);
        $client or BAIL_OUT("milter $name: " . slurp("$conf/out"));
    };
}

my $sign_table = 'inline:{ ' . join(', ',
    "{ our.test = our.test:rsa:$dir/keys/rsa.pem, our.test:ed:$dir/keys/ed.pem }", "weak.test=our.test:weak:$dir/keys/weak.pem",
    "one\@two.test=two.test:x:$dir/keys/rsa.pem", ".sub.test=our.test:rsa:$dir/keys/rsa.pem", "open.test=open.test:s:$dir/keys/open.pem") . ' }';
my $sign     = start(sign   => (dkim_mode => 'sign', dkim_sign_table => $sign_table));
my $simple   = start(simple => (dkim_mode => 'sign', dkim_sign_table => $sign_table, dkim_canonicalization => 'simple/simple'));
my $verify   = start('verify');
my $strict   = start(strict => (dkim_on_fail => 'reject', dkim_on_temperror => 'tempfail', dkim_max_signatures => 3));
my $both     = start(both => (dkim_mode => 'both', dkim_sign_table => $sign_table));

sub message {
    my (%o) = @_;
    my $from = $o{from} // 'Ann <ann@our.test>';
    return join "\r\n", @{ $o{top} // [] }, "From: $from", 'To: bob@far.test', "Subject:  two  blanks\r\n\tand a fold", 'X-Tight:value',
        'Date: Tue, 24 Nov 2026 12:00:00 +0000', 'Message-ID: <1@our.test>', '', $o{body} // "Hello\r\n\r\n world  \r\n", ;
}

# What Mail::DKIM says of the signature with that selector, with our key record instead of DNS.
sub mail_dkim_verdict {
    my ($message, $selector) = @_;
    my $verifier = Mail::DKIM::Verifier->new;
    no warnings qw(redefine once);
    local *Mail::DKIM::Signature::get_public_key = sub { Mail::DKIM::PublicKey->parse($record{ $_[0]->selector }) };
    $verifier->PRINT($message);
    $verifier->CLOSE;
    return (map { $_->result } grep { $_->selector eq $selector } $verifier->signatures)[0];
}

sub results {
    my ($message) = @_;
    my ($header) = split /\r\n\r\n/, $message, 2;
    return ("$header\r\n" =~ /\AAuthentication-Results: (.*?)\r\n(?![ \t])/s)[0] =~ s/\s+/ /gr;
}

my $signed = $sign->()->mail(message(), client => '192.0.2.7')->{message};

subtest 'signed, then verified' => sub {
    my @signatures = $signed =~ /^(DKIM-Signature: .*?)\r\n(?![ \t])/msg;
    is scalar @signatures, 2, 'one signature a key';
    like $signatures[0], qr/a=rsa-sha256.*d=our\.test.*s=rsa;/s, 'the first is RSA';
    like $signatures[1], qr/a=ed25519-sha256.*s=ed;/s, 'the second is Ed25519';
    like $signatures[0] =~ s/\s+//gr, qr/h=[^;]*From[^;]*:from/i, 'From is signed once more than it occurs';
    unlike $signed, qr/[^\r]\n/, 'no bare LF';
    my $r = $verify->()->mail($signed, client => '198.51.100.1');
    is $r->{action}, 'continue', 'accepted';
    my $text = results($r->{message});
    like $text, qr/^mx\.test; dkim=pass \(2048-bit key\) header\.d=our\.test header\.s=rsa header\.a=rsa-sha256 header\.b="?[\w\/+]{8}"?;/;
    like $text, qr/; dkim=pass \(256-bit key\) header\.d=our\.test header\.s=ed header\.a=ed25519-sha256 header\.b="?[\w\/+]{8}"?$/;
    like slurp("$dir/verify/log"), qr{gatepost/dkim\[\d+\]: Q1: dkim=pass \(2048-bit key\) header\.d=our\.test}, 'logged';
    like slurp("$dir/sign/log"), qr/Q1: signed: d=our\.test, s=rsa$/m, 'signing logged';
};

subtest 'the same without white space in the protocol, and simple canonicalization' => sub {
    my %old = (steps => Gatepost::MilterClient::ALL_STEPS() & ~Gatepost::MilterClient::LEADSPC());
    my $plain = Gatepost::MilterClient->connect("$dir/sign/sock", %old);
    ok !$plain->leadspc, 'not asked for when not offered';
    my $m = $plain->mail(message() =~ s/X-Tight:/X-Tight: /r, client => '192.0.2.7')->{message};
    like results(Gatepost::MilterClient->connect("$dir/verify/sock", %old)->mail($m, client => '198.51.100.1')->{message}), qr/dkim=pass.*dkim=pass/;
    $m = $simple->()->mail(message(), client => '192.0.2.7')->{message};
    like $m, qr{c=simple/simple}, 'simple';
    my $text = results($verify->()->mail($m, client => '198.51.100.1')->{message});
    like $text, qr/dkim=pass.*dkim=pass/ or diag $m;
    $m =~ s/X-Tight:value/X-Tight: value/;    # not signed
    $m =~ s/Subject:  two/Subject: two/;
    like results($verify->()->mail($m, client => '198.51.100.1')->{message}), qr/dkim=fail.*dkim=fail/, 'a blank less counts';
};

subtest 'altered mail' => sub {
    my $text = results($verify->()->mail($signed =~ s/Hello/Hallo/r, client => '198.51.100.1')->{message});
    like $text, qr/dkim=fail \(body has been altered\) header\.d=our\.test.*dkim=fail \(body/, 'body';
    $text = results($verify->()->mail($signed =~ s/two  blanks/more blanks/r, client => '198.51.100.1')->{message});
    like $text, qr/dkim=fail \(signature does not match\).*dkim=fail \(signature/, 'Subject';
    $text = results($verify->()->mail($signed =~ s/^From:/From: eve\@bad.test\r\nFrom:/mr, client => '198.51.100.1')->{message});
    unlike $text, qr/dkim=pass/, 'a second From';
    is results($verify->()->mail(message(), client => '198.51.100.1')->{message}), 'mx.test; dkim=none', 'no signature';
    my $refused = $strict->()->mail($signed =~ s/Hello/Hallo/r, client => '198.51.100.1');
    like $refused->{action}, qr/^550 5\.7\.20 /, 'dkim_on_fail = reject';
    is scalar @{ $refused->{changes} }, 0, 'nothing changed in it';
    is $strict->()->mail(message(), client => '198.51.100.1')->{action}, 'continue', 'unsigned mail is not refused';
    is $strict->()->mail($signed, client => '198.51.100.1')->{action}, 'continue', 'good mail is not refused';
};

subtest 'keys' => sub {
    my $with = sub { my ($selector) = @_; return $signed =~ s/(\ts=|; s=| s=)(rsa|ed)\b/$1$selector/gr };
    my %expect = (
        none    => 'permerror \(no key\)',
        revoked => 'permerror \(key is revoked\)',
        down    => 'temperror \(key cannot be had now\)',
        'a..b'  => '(?:permerror|neutral) ',
    );
    for my $selector (sort keys %expect) {
        my $text = results($verify->()->mail($with->($selector), client => '198.51.100.1')->{message});
        like $text, qr/dkim=$expect{$selector}/, "$selector: $text";
    }
    like $strict->()->mail($with->('down'), client => '198.51.100.1')->{action}, qr/^451 4\.7\.20 /, 'dkim_on_temperror = tempfail';
    my $half = $signed =~ s/s=ed\b/s=down/r;
    is $strict->()->mail($half, client => '198.51.100.1')->{action}, 'continue', 'one good signature is enough';
    like results($verify->()->mail($half, client => '198.51.100.1')->{message}), qr/dkim=pass.*dkim=temperror/, 'both are reported';
    my $bad = "DKIM-Signature: v=1; a=nonsense; d=our.test\r\nDKIM-Signature: =\r\n$signed";
    like results($verify->()->mail($bad, client => '198.51.100.1')->{message}), qr/dkim=neutral.*dkim=pass/, 'malformed ones hide no good one';
    my $old = $signed =~ s/a=rsa-sha256/a=rsa-sha1/r;
    like results($verify->()->mail($old, client => '198.51.100.1')->{message}), qr/dkim=policy \(rsa-sha1 is not accepted\)/, 'rsa-sha1';
    my $many = ("DKIM-Signature: v=1; a=nonsense; d=our.test\r\n" x 20) . $signed;
    my $action = $strict->()->mail($many, client => '198.51.100.1')->{action};
    like $action, qr/^550 /, 'those behind dkim_max_signatures do not count';
    like slurp("$dir/strict/log"), qr/19 more signatures not looked at/, 'said in the log';
};

subtest 'results in our name are removed, others stay' => sub {
    my @top = (
        'Authentication-Results: mx.test; dkim=pass header.d=forged1.test', 'Authentication-Results: other.test; spf=pass',
        "Authentication-Results: (a (nested) comment)\r\n MX.test 1; dkim=pass header.d=forged2.test",
        'Authentication-Results: "mx.test"; dkim=pass header.d=forged3.test', 'Authentication-Results: mx.test.example; dkim=pass',
        'authentication-results: mx.test',
    );
    my $m = $verify->()->mail(message(top => \@top), client => '198.51.100.1')->{message};
    unlike $m, qr/forged/, 'ours';
    is scalar(() = $m =~ /^authentication-results:/mig), 3, 'the new one and two foreign ones are left';
    like $m, qr/^Authentication-Results: other\.test; spf=pass\r\n.*^Authentication-Results: mx\.test\.example;/ms, 'others';
};

subtest 'whom to sign for' => sub {
    my $sigs = sub { return scalar(() = $_[0]{message} =~ /^DKIM-Signature:/mg) };
    is $sigs->($sign->()->mail(message(), client => '198.51.100.1')), 0, 'not for strangers';
    is $sigs->($sign->()->mail(message(), client => '198.51.100.1', macros => { '{auth_authen}' => 'ann' })), 2, 'for those who logged in';
    is $sigs->($sign->()->mail(message())), 2, 'for local mail';
    is $sigs->($sign->()->mail(message(from => 'x@third.test'), client => '192.0.2.7')), 0, 'not for a foreign From';
    is $sigs->($sign->()->mail(message(from => 'One@Two.test'), client => '192.0.2.7')), 1, 'for an address';
    is $sigs->($sign->()->mail(message(from => 'two@two.test'), client => '192.0.2.7')), 0, 'not for another there';
    is $sigs->($sign->()->mail(message(from => 'a@b.c.sub.test'), client => '192.0.2.7')), 1, 'for below .sub.test';
    is $sigs->($sign->()->mail(message(top => ['From: eve@our.test']), client => '192.0.2.7')), 0, 'not for two From fields';
    my $r = $both->()->mail(message(), client => '192.0.2.7');
    is $sigs->($r), 2, 'mode both signs ours';
    unlike $r->{message}, qr/^Authentication-Results/m, 'and does not judge it';
    like results($both->()->mail($signed, client => '198.51.100.1')->{message}), qr/dkim=pass/, 'mode both verifies others';
    is $sigs->($both->()->mail($signed, client => '198.51.100.1')), 2, 'and does not sign them';
};

subtest 'key files' => sub {
    system("cp $dir/keys/rsa.pem $dir/keys/open.pem");
    $own->("$dir/keys/open.pem");
    chmod 0644, "$dir/keys/open.pem";
    my $r = $sign->()->mail(message(from => 'x@open.test'), client => '192.0.2.7');
    like $r->{action}, qr/^451 4\.7\.5 /, 'open to others: try again later';
    like slurp("$dir/sign/log"), qr{warning: Q1: key file \S+/open\.pem is open to others \(mode 0644\): run "chmod 600 \S+/open\.pem"}, 'remedy';
    like $sign->()->mail(message(from => 'x@weak.test'), client => '192.0.2.7')->{action}, qr/^451 4\.7\.5 /, 'too weak to sign with';
    chmod 0600, "$dir/keys/open.pem";
    like $sign->()->mail(message(from => 'x@open.test'), client => '192.0.2.7')->{message}, qr/^DKIM-Signature:.*d=open\.test/ms, 'mended';
    system("cp $dir/keys/ed.pem $dir/keys/open.pem");
    like $sign->()->mail(message(from => 'x@open.test'), client => '192.0.2.7')->{message}, qr/a=rsa-sha256/, 'kept in memory';
    kill 'HUP', $running{sign};
    ok wait_for(sub { slurp("$dir/sign/log") =~ /keys read again/ }, 10), 'SIGHUP';
    like $sign->()->mail(message(from => 'x@open.test'), client => '192.0.2.7')->{message}, qr/a=ed25519-sha256/, 'read again';
};

subtest 'bad mail' => sub {
    my ($signature) = $signed =~ /^(DKIM-Signature: .*?\r\n)(?![ \t])/ms;
    my %bad = (
        'no From'        => $signature . message() =~ s/^From:.*?\r\n//mr,
        'ten From'       => $signature . ("From: a\@b.test\r\n" x 10) . message(),
        'empty From'     => $signature . message(from => ''),
        'NUL'            => message(top => ["X-Nul: a\0b"], body => "a\0b\r\n"),
        'eight bit'      => $signature . message(from => "\xe4\xf6\@\xfc.test", top => ["X-\xe4: \xff"], body => "\xff\xfe\r\n" x 100),
        'huge header'    => $signature . message(top => [ 'X-Huge: ' . 'a' x 60_000, map { "X-$_: " . 'b' x 900 } 1 .. 2000 ]),
        'too much'       => $signature . message(top => [ map { 'X-Huge: ' . 'a' x 60_000 } 1 .. 100 ]),
        'bare LF'        => $signature . message(body => "a\nb\nc\r\n\n.\n"),
        'bare CR'        => $signature . message(body => "a\rb\r\n"),
        'no body'        => $signature . "From: a\@b.test\r\n\r\n",
        'no header'      => "X: y\r\n\r\n",
        'long tag'       => 'DKIM-Signature: v=1; d=' . ('a.' x 20_000) . "test; s=x\r\n" . message(),
        'hostile domain' => ($signature =~ s/d=our\.test/d="x) (; dkim=pass/r) . message(),
        'open comment'   => message(top => [ 'Authentication-Results: ' . '(' x 50_000 ]),
        'many tags'      => 'DKIM-Signature: ' . ('a=b; ' x 10_000) . "\r\n" . message(),
    );
    for my $name (sort keys %bad) {
        for my $milter ($verify, $sign, $both) {
            my $r = $milter->()->mail($bad{$name}, client => $milter == $sign ? '192.0.2.7' : '198.51.100.1');
            is $r->{action}, 'continue', $name;
            unlike $r->{message}, qr/^Authentication-Results: [^\r]*(\r\n\s[^\r]*)*; ?dkim=pass/m, "$name: no pass" if $milter != $sign;
        }
    }
    unlike slurp("$dir/$_/log"), qr/killed by signal/, "$_: nothing died" for sort keys %running;
};

subtest 'one connection, several messages and clients' => sub {
    my $c = $verify->();
    like results($c->mail($signed, client => '198.51.100.1')->{message}), qr/dkim=pass/, 'first';
    $c->next_client;
    like results($c->mail($signed, client => '198.51.100.2')->{message}), qr/dkim=pass/, 'next client';
    $c->next_client;
    is results($c->mail(message(), client => '198.51.100.3')->{message}), 'mx.test; dkim=none', 'nothing is left from the one before';
    $c->quit;
};

SKIP: {
    skip 'Mail::DKIM is not installed', 1 unless $have_mail_dkim;
    subtest 'Mail::DKIM' => sub {
        for my $way (qw(relaxed/relaxed simple/simple relaxed/simple)) {
            my $signer = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $way, Domain => 'our.test', Selector => 'rsa',
                KeyFile => "$dir/keys/rsa.pem");
            $signer->PRINT(message());
            $signer->CLOSE;
            my $m = $signer->signature->as_string . "\r\n" . message();
            like results($verify->()->mail($m, client => '198.51.100.1')->{message}), qr/dkim=pass \(2048-bit key\)/, "its $way passes here";
        }
        for my $milter ($sign, $simple) {
            my $m = $milter->()->mail(message(), client => '192.0.2.7')->{message};
            is mail_dkim_verdict($m, 'rsa'), 'pass', 'ours passes there';
            is mail_dkim_verdict($m =~ s/Hello/Hallo/r, 'rsa'), 'fail', 'and fails when altered';
        }
        my $weak = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed', Domain => 'our.test', Selector => 'weak',
            KeyFile => "$dir/keys/weak.pem");
        $weak->PRINT(message());
        $weak->CLOSE;
        my $m = $weak->signature->as_string . "\r\n" . message();
        like results($verify->()->mail($m, client => '198.51.100.1')->{message}), qr/dkim=policy \(key is too weak\)/, 'a weak key';
        my $expired = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed', Domain => 'our.test', Selector => 'rsa',
            KeyFile => "$dir/keys/rsa.pem", Timestamp => time - 7200, Expiration => time - 3600);
        $expired->PRINT(message());
        $expired->CLOSE;
        $m = $expired->signature->as_string . "\r\n" . message();
        like results($verify->()->mail($m, client => '198.51.100.1')->{message}), qr/dkim=fail \(signature has expired\)/, 'expired';
    };
}

subtest 'configuration' => sub {
    my %wrong = (
        mode   => [ { dkim_mode => 'maybe' },                      qr/dkim_mode = "maybe": one of verify, sign, both expected/ ],
        table  => [ { dkim_mode => 'sign' },                       qr/dkim_mode = sign needs dkim_sign_table/ ],
        socket => [ { dkim_socket => 'inet:localhost:what' },      qr/port "what" is not a number/ ],
        canon  => [ { dkim_canonicalization => 'relaxed/none' },   qr/dkim_canonicalization = "none"/ ],
        temp   => [ { dkim_on_temperror => 'reject' },             qr/dkim_on_temperror = reject would lose good mail/ ],
    );
    for my $name (sort keys %wrong) {
        my $conf = config("bad-$name", %{ $wrong{$name}[0] });
        my $said = `$bin -c $conf -n 2>&1`;
        isnt $?, 0, "$name is refused";
        like $said, $wrong{$name}[1], 'and why';
    }
    my $conf = config('good');
    is `$bin -c $conf -n 2>&1`, '', 'a good one says nothing';
    is $?, 0, 'and is accepted';
    ok !-e "$conf/sock", 'without listening';
};

subtest 'the end' => sub {
    kill 'TERM', values %running;
    for my $name (sort keys %running) {
        my $pid = delete $running{$name};
        ok wait_for(sub { waitpid($pid, POSIX::WNOHANG()) == $pid }, 15), "$name ends on SIGTERM";
        is $?, 0, 'in order';
    }
};

done_testing;
