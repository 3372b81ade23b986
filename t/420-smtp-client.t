#!/usr/bin/perl
# t/420-smtp-client.t - what the SMTP client's settings do: EHLO keywords, BDAT, checks and filters, logins, kept connections, loops.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $plain = Gatepost::Sink->new;
my $bdat  = Gatepost::Sink->new(ehlo => [qw(PIPELINING CHUNKING)]);
my $login = Gatepost::Sink->new(ehlo => ['AUTH PLAIN LOGIN CRAM-MD5'], auth => [ 'joe', 's3cret' ]);
my $old   = Gatepost::Sink->new(on => { EHLO => '502 5.5.1 what is that?' });
my $pix   = Gatepost::Sink->new(greeting => '****** 2 *** 0 **');
my $gone  = Gatepost::Sink->new(on => { DATA => 'HANGUP' });
my $busy  = Gatepost::Sink->new(on => { MAIL => '421 4.3.2 closing' });
my %sinks = (plain => $plain, bdat => $bdat, login => $login, old => $old, pix => $pix, gone => $gone, busy => $busy);
my $dns   = Gatepost::DNS->new(
    'own.test'   => { MX => ['10 mx.own.test.'] },
    'mx.own.test' => { A => ['127.0.0.1'] },
    'backup.test' => { MX => [ '10 mx.backup.test.', '20 mx.own.test.' ] },
    'mx.backup.test' => { A => ['127.0.0.79'] },
    'many.test'  => { MX => [ '10 hidden.many.test.', '20 seen.many.test.' ] },
    'hidden.many.test' => { A => ['127.0.0.78'] },
    'seen.many.test'   => { A => ['127.0.0.1'] },
);

# One transport for each set of options: mail for x@NAME.test goes to the sink by it.
my %transport = (
    plain    => [ plain => '' ],
    kept     => [ plain => '-o smtp_connection_cache_destinations=127.0.0.1' ],
    once     => [ plain => '-o smtp_connection_cache_destinations=127.0.0.1 -o smtp_connection_reuse_count_limit=1' ],
    nopipe   => [ plain => '-o smtp_discard_ehlo_keywords=dsn,pipelining' ],
    map      => [ plain => '-o { smtp_discard_ehlo_keyword_address_maps = inline:{ { 127.0.0.1 = 8bitmime, dsn } } }' ],
    bdat     => [ bdat  => '-o smtp_chunking=yes' ],
    data     => [ bdat  => '' ],
    cram     => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:s3cret' ],
    text     => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:s3cret -o smtp_sasl_security_options=noanonymous -o smtp_sasl_mechanism_filter=!cram-md5,static:rest' ],
    onlylogin => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:s3cret -o smtp_sasl_security_options= -o smtp_sasl_mechanism_filter=login' ],
    clear    => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:s3cret -o smtp_sasl_mechanism_filter=plain' ],
    wrong    => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:wrong' ],
    wronghard => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:wrong -o smtp_sasl_auth_soft_bounce=no' ],
    cached   => [ login => '-o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:wrong -o smtp_sasl_auth_cache_name=yes -o smtp_sasl_auth_soft_bounce=no' ],
    sender   => [ login => '-o smtp_sasl_auth_enable=yes -o { smtp_sasl_password_maps = inline:{ { ann@a.test = joe:s3cret } } } -o smtp_sender_dependent_authentication=yes' ],
    old      => [ old   => '' ],
    pix      => [ pix   => '-o smtp_pix_workaround_threshold_time=0 -o smtp_pix_workaround_delay_time=1s' ],
    gone     => [ gone  => '' ],
    busy     => [ busy  => '-o smtp_mail_timeout=5s' ],
    checks   => [ plain => '-o smtp_header_checks=pcre:$config_directory/checks -o smtp_body_checks=pcre:$config_directory/body -o smtp_mime_header_checks=pcre:$config_directory/mime' ],
    quoted   => [ plain => '' ],
    unquoted => [ plain => '-o smtp_quote_rfc821_envelope=no' ],
    dummy    => [ login => '-o smtp_send_dummy_mail_auth=yes -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:s3cret' ],
    reply    => [ plain => '-o smtp_reply_filter=pcre:$config_directory/replies' ],
    status   => [ plain => '-o { smtp_delivery_status_filter = pcre:$config_directory/status }' ],
    bind     => [ plain => '-o smtp_bind_address=127.0.0.55' ],
    nobind   => [ plain => '-o smtp_bind_address=192.0.2.55' ],
    mustbind => [ plain => '-o smtp_bind_address=192.0.2.55 -o smtp_bind_address_enforce=yes' ],
);
my @extra = (
    many    => 'smtp_dns_reply_filter=pcre:$config_directory/dns',
    own     => 'smtp_fallback_relay=[127.0.0.1]:' . $plain->port,
    best    => 'best_mx_transport=discard',
    backup  => 'smtp_connect_timeout=3s',
);
my %extra = @extra;
my $mta = Gatepost::Test->new(
    files => {
        checks  => "/^Subject: (.*)/ REPLACE Subject: [\$1]\n/^X-Secret:/ IGNORE\n/^X-Strip:/ STRIP gone\n/^X-Warn:/ WARN look\n/^X-Info:/ INFO seen\n/^X-Leave: dunno/ DUNNO\n/^X-Leave: ok/ OK\n/^X-Leave: reject/ REJECT too late\n/^X-Leave:/ IGNORE\n/^Date:/ PREPEND X-Before: date\n",
        body    => "/^Dear (.*)/ REPLACE Hello \$1\n/^secret/ IGNORE\n",
        mime    => "/^Content-Disposition: (.*)/ REPLACE Content-Disposition: inline\n",
        replies => "/^550 5(\\.7\\.1 .*later.*)/ 450 4\$1\n",
        status  => "/^4(\\.2\\.2 .*full.*)/ 5\$1\n/^2(.*)/ 5\$1\n",
        dns     => "/ MX 10 hidden/ IGNORE\n",
    },
    main_cf => {
        relay_domains        => join(', ', map { "$_.test" } keys %transport, keys %extra),
        transport_maps       => 'inline:{ ' . join(', ',
            (map { '{ ' . "$_.test = $_:[127.0.0.1]:" . $sinks{ $transport{$_}[0] }->port . ' }' } sort keys %transport),
            "{ many.test = many:many.test:" . $plain->port . ' }', (map { "{ $_.test = $_:" . ($_ eq 'best' ? 'own' : $_) . '.test }' } qw(own best backup))) . ' }',
        dns_servers          => $dns->address,
        dns_hosts_file       => '',
        minimal_backoff_time => '300s',
        maximal_backoff_time => '300s',
        inet_interfaces      => '127.0.0.1',
    },
    master_cf => join("\n", (map { "$_ unix - - n - - smtp $transport{$_}[1]" } sort keys %transport), (map { "$_ unix - - n - - smtp -o $extra{$_}" } sort keys %extra), ''),
);
{ # sinks say later what the tests want
    $plain->stop;
    $plain->{rcpt} = { 'later@reply.test' => '550 5.7.1 come back later', 'full@status.test' => '450 4.2.2 mailbox full' };
    $plain->start;
}
$mta->start;

# What the client said in the session that took mail for this recipient.
sub said_for {
    my ($sink, $to) = @_;
    my ($pid) = $sink->heard =~ /^(\d+) RCPT TO:<\Q$to\E>/m or return '';
    return join "\n", $sink->heard =~ /^$pid (.*)$/mg;
}

subtest 'the envelope' => sub {
    my $c = $mta->smtp;
    like $c->mail('ann@a.test', qq("a b"\@$_.test), "Subject: $_\n\nx\n"), qr/^250/, "$_: taken" for qw(quoted unquoted);
    ok $mta->log_has(qr/to=<"?a b"?\@$_\.test>, .*status=sent/), "$_: sent" for qw(quoted unquoted);
    like $plain->heard, qr/ RCPT TO:<"a b"\@quoted\.test>/, 'what needs quotes has them';
    like $plain->heard, qr/ RCPT TO:<a b\@unquoted\.test>/, 'smtp_quote_rfc821_envelope = no';
    like $mta->send_to('a@dummy.test'), qr/status=sent/, 'sent';
    like said_for($sinks{login}, 'a@dummy.test'), qr/^MAIL FROM:<ann\@a\.test> .*AUTH=<>/m, 'smtp_send_dummy_mail_auth';
};

subtest 'EHLO keywords' => sub {
    like $mta->send_to('a@plain.test'), qr/status=sent/, 'all of them';
    like said_for($plain, 'a@plain.test'), qr/^RCPT TO:<a\@plain\.test> ORCPT=/m, 'DSN is used where offered';
    like $mta->send_to('a@nopipe.test'), qr/status=sent/, 'without some';
    like said_for($plain, 'a@nopipe.test'), qr/^RCPT TO:<a\@nopipe\.test>$/m, 'no DSN';
    ok $mta->log_has(qr/discarding EHLO keywords: PIPELINING DSN/), 'said so';
    like $mta->send_to('a@map.test'), qr/status=sent/, 'by server address';
    like said_for($plain, 'a@map.test'), qr/^RCPT TO:<a\@map\.test>$/m, 'no DSN';
    like $mta->send_to('a@old.test'), qr/status=sent/, 'a server without EHLO';
    like said_for($old, 'a@old.test'), qr/^EHLO mx\.gate\.test\nHELO mx\.gate\.test\nMAIL FROM:<ann\@a\.test>\n/, 'HELO after it';
    like $mta->send_to('a@pix.test'), qr/status=sent/, 'a firewall that garbles the greeting';
    like said_for($pix, 'a@pix.test'), qr/^HELO /, 'HELO at once';
    ok $mta->log_has(qr/enabling PIX workarounds: disable_esmtp,delay_dotcrlf for 127\.0\.0\.1\[127\.0\.0\.1\]:\d+/), 'logged';
};

subtest 'CHUNKING' => sub {
    my $text = "Subject: chunks\n\n.dot\n" . ('x' x 70 . "\n") x 4000;
    like $mta->send_to('a@bdat.test', content => $text), qr/status=sent/, 'BDAT';
    my $said = said_for($bdat, 'a@bdat.test');
    like $said, qr/^BDAT 65536\nBDAT/m, 'in pieces';
    like $said, qr/^BDAT \d+ LAST$/m, 'the last is marked';
    unlike $said, qr/^DATA/m, 'no DATA';
    my $got = $bdat->wait_message(qr/Subject: chunks/);
    like $got->{content}, qr/\r\n\r\n\.dot\r\nx{70}\r\n/, 'dots as they are';
    is length($got->{content}) - index($got->{content}, '.dot'), 6 + 4000 * 72, 'all of it';
    like $mta->send_to('a@data.test', content => $text), qr/status=sent/, 'DATA by default';
    like said_for($bdat, 'a@data.test'), qr/^DATA$/m, 'no BDAT unless asked for';
};

subtest 'SASL' => sub {
    like $mta->send_to('a@cram.test'), qr/status=sent/, 'noplaintext, the default: CRAM-MD5';
    like said_for($login, 'a@cram.test'), qr/^AUTH CRAM-MD5$/m, 'that was it';
    like $mta->send_to('a@text.test'), qr/status=sent/, 'PLAIN';
    like said_for($login, 'a@text.test'), qr/^AUTH PLAIN \S+$/m, 'when the filter leaves no CRAM-MD5';
    like $mta->send_to('a@onlylogin.test'), qr/status=sent/, 'LOGIN';
    like said_for($login, 'a@onlylogin.test'), qr/^AUTH LOGIN$/m, 'that was it';
    like $mta->send_to('a@clear.test'), qr/dsn=4\.7\.0, status=deferred \(SASL authentication failed; cannot authenticate to server 127\.0\.0\.1\[127\.0\.0\.1\]: no mechanism available\)/, 'no password in the clear by default';
    like $mta->send_to('a@wrong.test'), qr/dsn=4\.7\.8, status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 who are you\?\)/, 'a wrong password defers';
    like $mta->send_to('a@wronghard.test'), qr/dsn=5\.7\.8, status=bounced \(SASL/, 'or bounces';
    like $mta->send_to('a@cached.test'), qr/dsn=5\.7\.8, status=bounced \(SASL authentication failed;/, 'smtp_sasl_auth_cache_name: refused';
    my $attempts = () = $login->heard =~ /^\d+ AUTH/mg;
    like $mta->send_to('b@cached.test'), qr/dsn=5\.7\.8, status=bounced \(SASL \[CACHED\] authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 who are you\?\)/, 'the next one knows';
    is scalar(() = $login->heard =~ /^\d+ AUTH/mg), $attempts, 'and does not try';
    like $mta->send_to('a@sender.test'), qr/status=sent/, 'a password by sender';
    like said_for($login, 'a@sender.test'), qr/^AUTH CRAM-MD5$/m, 'is used';
    like $mta->send_to('b@sender.test', from => 'bob@b.test'), qr/status=sent/, 'another sender has none';
    unlike said_for($login, 'b@sender.test'), qr/^AUTH/m, 'no login then';
};

subtest 'broken sessions' => sub {
    like $mta->send_to('a@gone.test'), qr/dsn=4\.4\.2, status=deferred \(lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while (?:sending|receiving).*DATA/, 'lost';
    like $mta->send_to('a@busy.test'), qr/dsn=4\.3\.2, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 421 4\.3\.2 closing \(in reply to MAIL FROM command\)\)/, 'the server closes';
};

subtest 'checks' => sub {
    my $parts = "Subject: plain\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nX-Secret: 1\nX-Strip: 2\nX-Warn: 3\nX-Info: 4\nX-Leave: dunno\nX-Leave: ok\nX-Leave: reject\nX-Leave: other\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
        . "--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nDear all\nsecret\nrest\n--b--\n";
    like $mta->send_to('a@checks.test', content => $parts), qr/status=sent/, 'delivered';
    my $text = $plain->wait_message(qr/Subject: \[plain\]/)->{content};
    like $text, qr/^X-Before: date\r\nDate: /m, 'PREPEND';
    unlike $text, qr/^X-(?:Secret|Strip)/m, 'IGNORE and STRIP';
    like $text, qr/^X-Warn: 3\r$/m, 'WARN keeps it';
    like $text, qr/--b\r\nContent-Type: text\/plain\r\nContent-Disposition: inline\r\n\r\nHello all\r\nrest\r\n--b--\r\n\z/, 'parts and lines';
    ok $mta->log_has(qr/smtp\[\d+\]: \w+: replace: header Subject: plain: Subject: \[plain\]/), 'replace is logged';
    ok $mta->log_has(qr/smtp\[\d+\]: \w+: strip: header X-Strip: 2: gone/), 'strip is logged';
    ok $mta->log_has(qr/smtp\[\d+\]: \w+: warning: header X-Warn: 3: look/), 'so is a warning';
    like $text, qr/^X-Info: 4\r$/m, 'INFO keeps it';
    ok $mta->log_has(qr/smtp\[\d+\]: \w+: info: header X-Info: 4: seen/), 'and is logged';
    is join(' ', $text =~ /^X-Leave: (\w+)\r$/mg), 'dunno ok reject', 'DUNNO and OK end the search, and so does what only cleanup can do';
    ok $mta->log_has(qr/unsupported command in header checks: "REJECT"/), 'which is warned of';
};

subtest 'filters' => sub {
    like $mta->send_to('later@reply.test'), qr/dsn=4\.7\.1, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.7\.1 come back later/, 'a reply becomes another';
    like $mta->send_to('full@status.test'), qr/dsn=5\.2\.2, status=bounced/, 'a deferral becomes a bounce';
    like $mta->send_to('fine@status.test'), qr/dsn=2\.0\.0, status=sent/, 'what was delivered stays so';
    like $mta->send_to('a@many.test'), qr/relay=seen\.many\.test\[127\.0\.0\.1\]/, 'a hidden MX record';
    ok $mta->log_has(qr/ignoring DNS RR: many\.test\. \d+ IN MX 10 hidden\.many\.test\./), 'logged';
};

subtest 'local address' => sub {
    like $mta->send_to('a@bind.test'), qr/status=sent/, 'one of ours';
    like $mta->send_to('a@nobind.test'), qr/status=sent/, 'one that is not';
    ok $mta->log_has(qr/warning: cannot send from 192\.0\.2\.55.*: Cannot assign requested address/), 'warned';
    like $mta->send_to('a@mustbind.test'), qr/dsn=4\.4\.1, status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Cannot assign requested address\)/, 'enforced';
};

subtest 'kept connections' => sub {
    $mta->send_to("$_\@kept.test") for qw(k1 k2);
    like $mta->send_to('k3@kept.test'), qr/conn_use=3, .*status=sent/, 'for a destination that was named';
    like said_for($plain, 'k3@kept.test'), qr/k1\@.*k2\@.*k3\@/s, 'one connection';
    $mta->send_to('o1@once.test');
    unlike $mta->send_to('o2@once.test'), qr/conn_use/, 'at most so many messages';
    $mta->send_to('alone@plain.test');
    ok wait_for(sub { said_for($plain, 'alone@plain.test') =~ /QUIT$/ }, 1.5), 'a lone message leaves no connection behind';
};

subtest 'loops' => sub {
    like $mta->send_to('a@own.test'), qr/relay=none, .*dsn=5\.4\.6, status=bounced \(mail for own\.test loops back to myself\)/, 'this host is the MX: no fallback relay either';
    like $mta->send_to('a@best.test'), qr/discard\[\d+\]: \w+: to=<a\@best\.test>, relay=none, .*status=sent/, 'best_mx_transport';
    like $mta->send_to('a@backup.test'), qr/relay=none, .*dsn=4\.4\.1, status=deferred \(connect to mx\.backup\.test\[127\.0\.0\.79\]:25: Connection refused\)/, 'a backup MX tries the better ones only';
};

$mta->stop;
done_testing;
