#!/usr/bin/perl
# t/640-content.t - what cleanup does to content, compared with Postfix under the same main.cf: every action of header, MIME, nested and body
# checks (a message says itself which one it wants), header addresses rewritten, fields that are missing, dropped, too long or not allowed.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

plan skip_all => 'no Postfix to compare with, or not root' unless Gatepost::Postfix::installed();

my %base = (
    compatibility_level => '3.6', myhostname => 'mx.gate.test', mydomain => 'gate.test', myorigin => 'origin.test', mydestination => 'local.test', mynetworks => '127.0.0.0/8',
    smtpd_recipient_restrictions => 'permit_mynetworks, reject', smtpd_reject_unlisted_recipient => 'no', smtpd_error_sleep_time => '0', smtp_send_xforward_command => 'no',
    smtpd_client_connection_count_limit => '0', local_recipient_maps => '', append_dot_mydomain => 'yes', mail_name => 'MTA', smtpd_soft_error_limit => '1000', smtpd_hard_error_limit => '1000',
    smtp_line_length_limit => '0',
);
my $mime = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";
sub parts { return "$mime\r\n" . join('', map { "--b\r\n$_" } @_) . "--b--\r\n" }

# ---- checks ----

my $do = 'regexp:{{/^X-Do: *([^|]*)(\|.*)?/ $$1}}';
my @actions = (
    'REJECT', 'REJECT no such mail here', 'REJECT 5.3.2 own code', 'REJECT 4.7.1 later', 'reject lower', 'REJECT 2.0.0 odd', '550 no', 'DISCARD', 'DISCARD into thin air', 'HOLD', 'HOLD for somebody',
    'FILTER other:there', 'FILTER other:', 'FILTER wrong', 'FILTER', 'REDIRECT else@far.test', 'REDIRECT nobody', 'REDIRECT', 'BCC copy@far.test', 'BCC', 'BCC nobody', 'PREPEND X-New: before', 'PREPEND',
    'PREPEND no field', 'REPLACE X-Other: instead', 'REPLACE', 'REPLACE no field', 'STRIP', 'STRIP with words', 'IGNORE', 'IGNORE words', 'WARN', 'WARN be careful', 'INFO', 'INFO for you', 'DUNNO', 'OK', 'OK words', 'PASS', 'PASS on',
    'NONSENSE', 'nothing here', 'DELAY 1d', 'PREPEND X-Two: a', 'REPLACE X-Do: REJECT again', 'REDIRECT a@b.test c@d.test', 'WARN ' . 'x' x 300,
);
my @checks = map({ ["header $_", "Subject: x\r\nX-Do: $_\r\nX-After: y\r\nX-Do: WARN second\r\n\r\nbody\r\n"] } @actions);
push @checks, map({ ["body $_", "Subject: x\r\n\r\nfirst\r\nX-Do: $_\r\nlast\r\nX-Do: WARN second\r\n"] } @actions);
push @checks, map({ ["MIME header $_", parts("Content-Type: text/plain\r\nContent-Do: $_\r\nX-Last: y\r\n\r\ntext\r\n")] } @actions[0, 2, 7, 9, 21, 24, 27, 29, 31, 38]);
push @checks, map({ ["part $_", parts("Content-Type: text/plain\r\nX-Do: $_\r\nX-Last: y\r\n\r\ntext\r\n")] } @actions[0, 2, 7, 9, 21, 24, 27, 29, 31, 38]);
push @checks, map({ ["attached $_", parts("Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-Do: $_\r\nX-Last: y\r\n\r\ntext\r\n")] } @actions[0, 2, 7, 9, 21, 24, 27, 29, 31, 38]);
push @checks, (
    ['primary MIME header', "Content-Do: REJECT in front\r\n\r\nx\r\n"], ['folded', "X-Do: WARN one\r\n two\r\n\tthree\r\nSubject: x\r\n\r\nx\r\n"],
    ['two actions', "X-Do: HOLD\r\nX-Do: REDIRECT else\@far.test\r\nX-Do: BCC copy\@far.test\r\nX-Do: REJECT at last\r\n\r\nx\r\n"], ['reject, then discard', "X-Do: REJECT one\r\nX-Do: DISCARD two\r\n\r\nx\r\n"],
    ['discard, then reject', "X-Do: DISCARD one\r\nX-Do: REJECT two\r\n\r\nx\r\n"], ['header and body', "X-Do: WARN head\r\n\r\nX-Do: REJECT body\r\n"], ['pass, then reject', "X-Do: PASS\r\n\r\nX-Do: REJECT body\r\n"],
    ['far down', "Subject: x\r\n\r\n" . "0123456789\r\n" x 6000 . "X-Do: REJECT too far\r\n"], ['not so far', "Subject: x\r\n\r\n" . "0123456789\r\n" x 2000 . "X-Do: REJECT near\r\n"],
    ['far down in parts', parts("\r\n" . "0123456789\r\n" x 3000, "\r\n" . "0123456789\r\n" x 3000 . "X-Do: REJECT second part\r\n")], ['long line', "Subject: x\r\n\r\n" . 'X-Do: WARN ' . 'y' x 5000 . "\r\n"],
    ['no header', "X-Do is no header\r\nX-Do: REJECT body\r\n"], ['preamble', "$mime\r\nX-Do: WARN preamble\r\n--b\r\n\r\nX-Do: WARN part\r\n--b--\r\nX-Do: WARN epilogue\r\n"],
    ['nested twice', parts("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Do: WARN deep\r\n\r\nX-Do: WARN text\r\n--c--\r\n")], ['quoted boundary', "Content-Type: multipart/mixed;\r\n boundary=\"b c\"\r\n\r\n--b c\r\nContent-Do: WARN quoted\r\n\r\nx\r\n--b c--\r\n"],
    ['message in message', parts("Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nX-Do: WARN inner\r\n\r\nX-Do: WARN text\r\n")], ['8 bit', "X-Do: WARN gr\xc3\xbc\xc3\x9fe\r\n\r\nX-Do: WARN \xc3\xa4\r\n"],
    ['external', parts("Content-Type: message/external-body; access-type=x\r\n\r\nContent-Type: text/plain\r\nX-Do: WARN external\r\n\r\n")], ['digest', "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nX-Do: WARN digest\r\n\r\ntext\r\n--b--\r\n"],
    ['partial', parts("Content-Type: message/partial\r\n\r\nX-Do: WARN partial\r\n\r\nx\r\n")],
);

# ---- rewriting ----

my @fields = ('joe', 'joe, ann@far.test', '"Joe \"x\" Doe" <joe>', 'Joe Doe <joe@host>, (comment) ann (another)', 'friends: joe, ann; , bob', '<joe>', 'a%b.test', 'c!d', '@r.test:joe@far.test', 'joe+x', '"joe doe"', '"joe doe"@far.test',
    'joe@far.test.', '', 'joe@', '@far.test', '<>', 'undisclosed-recipients:;', 'Joe Doe', 'Joe <joe', 'joe@host (x', '=?utf-8?q?J=F6?= <joe@local.test>', 'joe@[127.0.0.1]', "joe,\r\n\tann,\r\n bob\@far.test", 'joe@local.test', 'x@a.b.far.test, root@c.far.test',
    'ann@LOCAL.test', "gr\xc3\xbc\xc3\x9fe\@far.test", 'joe@far.test ann@far.test', ',joe,,ann,', 'joe;ann', 'Joe@Far.Test', '"a\\\\b"@far.test', 'joe (c1) @ (c2) host', 'very long ' x 30 . '<joe>, ' . join(', ', map { "user$_" } 1 .. 40));
my @headers = map { ["field $_", "From: x\@far.test\r\nTo: $_\r\nSubject: x\r\n\r\nx\r\n"] } @fields;
push @headers, map({ ["name $_", "$_: joe, ann\@far.test, bob\@far.test\r\nSubject: x\r\n\r\nx\r\n"] } qw(From To Cc Bcc Sender Reply-To Errors-To Return-Receipt-To Resent-From Resent-To Resent-Cc Resent-Bcc Resent-Sender Resent-Reply-To
    Apparently-To Disposition-Notification-To Mail-Followup-To X-To Return-Path Delivered-To List-Post Mail-Reply-To References Message-ID In-Reply-To Received Followup-To Comments));
push @headers, (
    ['nothing', "\r\nx\r\n"], ['no body', "Subject: x\r\n"], ['empty', ''], ['only Date', "Date: x\r\n\r\nx\r\n"], ['Resent', "Resent-From: r\r\nSubject: x\r\n\r\nx\r\n"], ['Resent-Date', "Resent-Date: now\r\nTo: x\r\n\r\nx\r\n"], ['From first', "From me now\r\nSubject: x\r\n\r\nx\r\n"],
    ['quoted From', ">From me now\r\nSubject: x\r\n\r\nx\r\n"], ['no colon', "Subject: x\r\nno field\r\nX: y\r\n\r\nx\r\n"], ['blank name', "Subject : x\r\nX-A\t: y\r\n\r\nx\r\n"], ['continuation first', " x\r\nSubject: y\r\n\r\nx\r\n"], ['content-length', "Content-Length: 5\r\nReturn-Path: <x>\r\nbcc: y\r\n\r\nx\r\n"],
    ['colon first', ": x\r\nSubject: y\r\n\r\nx\r\n"], ['long field', 'Subject: ' . 'x' x 3000 . "\r\nTo: y\r\n\r\nx\r\n"], ['long folded', "Subject: x\r\n" . " folded line\r\n" x 300 . "To: y\r\n\r\nx\r\n"], ['hops', "Received: x\r\n" x 60 . "\r\nx\r\n"], ['hops, less', "Received: x\r\n" x 20 . "\r\nx\r\n"],
    ['empty From', "From:\r\nTo: \r\n\r\nx\r\n"], ['empty line with blank', "Subject: x\r\n \r\nbody\r\n"], ['8 bit header', "Subject: \xe4\r\n\r\n\xe4\r\n"], ['8 bit body', "Subject: a\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\xe4\r\n"], ['declared', "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n"],
    ['composite', "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"], ['composite 8bit', "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: x\r\n\r\nx\r\n"],
);
# 8-bit content for a host that takes 7 bits.
my $cte = 'Content-Transfer-Encoding: ';
my $latin = "gr\xfc\xdfe";
my @mime = (
    ['text', "${cte}8bit\r\n\r\n$latin = x\r\n.dot $latin\r\nFrom $latin\r\n blank \r\ntab\t\r\n\r\nend\r\n"], ['undeclared', "Subject: x\r\n\r\n$latin\r\n"], ['binary', "${cte}binary\r\n\r\n$latin\x00\x01\r\n"], ['7bit', "${cte}7bit\r\n\r\n$latin\r\n"],
    ['base64', "${cte}base64\r\n\r\n$latin\r\n"], ['odd case', "Content-transfer-ENCODING : 8BIT (comment)\r\n\r\n$latin\r\n"], ['folded', "Content-Transfer-Encoding:\r\n 8bit\r\n\r\n$latin\r\n"], ['twice', "${cte}8bit\r\n${cte}7bit\r\n\r\n$latin\r\n"], ['8bit without any', "${cte}8bit\r\n\r\na=b \r\n"],
    ['long lines', "${cte}8bit\r\n\r\n" . "$latin " x 300 . "\r\n" . 'x' x 75 . "\r\n" . 'x' x 76 . "\r\n" . 'x' x 77 . "\r\n" . '=' x 30 . "\r\n" . ' ' x 80 . "\r\n"], ['all octets', "${cte}8bit\r\n\r\n" . join('', map { chr } grep { $_ != 10 && $_ != 13 } 1 .. 255) . "\r\n"],
    ['parts', parts("${cte}8bit\r\n\r\n$latin\r\n", "\r\n$latin\r\n", "${cte}base64\r\n\r\n$latin\r\n", "Content-Type: text/html\r\n${cte}binary\r\nX: y\r\n\r\n$latin\r\n")], ['parts, declared', $cte . "8bit\r\n" . parts("${cte}8bit\r\n\r\n$latin\r\n", "\r\n$latin\r\n")],
    ['nested', parts("Content-Type: multipart/alternative; boundary=c\r\n${cte}8bit\r\n\r\npre\r\n--c\r\n${cte}8bit\r\n\r\n$latin\r\n--c--\r\nepi $latin\r\n", "${cte}8bit\r\n\r\n$latin\r\n")], ['message', "Content-Type: message/rfc822\r\n${cte}8bit\r\n\r\nSubject: x\r\n${cte}8bit\r\n\r\n$latin\r\n"],
    ['attached', parts("Content-Type: message/rfc822\r\n${cte}8bit\r\n\r\nSubject: $latin\r\nContent-Type: text/plain\r\n${cte}8bit\r\n\r\n$latin\r\n")], ['partial', "Content-Type: message/partial\r\n${cte}8bit\r\n\r\n$latin\r\n"], ['external', parts("Content-Type: message/external-body\r\n\r\n${cte}8bit\r\n\r\n$latin\r\n")],
    ['preamble', $cte . "8bit\r\n" . $mime . "\r\n$latin\r\n--b\r\n\r\nx\r\n--b--\r\n$latin\r\n"], ['not ended', "$mime\r\n--b\r\n${cte}8bit\r\n\r\n$latin\r\n"], ['no boundary', "Content-Type: multipart/mixed\r\n${cte}8bit\r\n\r\n--b\r\n${cte}8bit\r\n\r\n$latin\r\n"],
    ['boundary like another', parts("Content-Type: multipart/mixed; boundary=bc\r\n\r\n--bc\r\n${cte}8bit\r\n\r\n$latin\r\n--bc--\r\n")], ['boundary with blanks', "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b  \r\n${cte}8bit\r\n\r\n$latin\r\n--b-- \r\n"],
    ['long boundary', 'Content-Type: multipart/mixed; boundary="' . 'y' x 3000 . "\"\r\n\r\n--" . 'y' x 3000 . "\r\n${cte}8bit\r\n\r\n$latin\r\n"], ['no empty line', "$mime\r\n--b\r\n${cte}8bit\r\n$latin\r\n--b--\r\n"], ['from within', parts("${cte}8bit\r\nnot a field\r\n$latin\r\n")],
    ['deep', "Content-Type: multipart/mixed; boundary=b0\r\n\r\n" . join('', map { "--b@{[ $_ - 1 ]}\r\nContent-Type: multipart/mixed; boundary=b$_\r\n\r\n" } 1 .. 50) . "--b50\r\n${cte}8bit\r\n\r\n$latin\r\n"], ['8 bit header', "Subject: $latin\r\n${cte}8bit\r\n\r\n$latin\r\n"], ['empty', "${cte}8bit\r\n\r\n"],
    ['digest', "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n${cte}8bit\r\n\r\n$latin\r\n--b--\r\n"], ['signed', "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n${cte}8bit\r\n\r\n$latin\r\n--b--\r\n"], ['unknown encoding', "${cte}x-odd\r\n\r\n$latin\r\n"],
);
my @utf8 = (['UTF-8 header', "Subject: gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n"], ['ASCII', "Subject: x\r\n\r\nx\r\n"], ['8-bit body', "Subject: x\r\n\r\n\xc3\xa4\r\n"], ['other 8-bit header', "Subject: $latin\r\n\r\nx\r\n"], ['attached', parts("Content-Type: message/rfc822\r\n\r\nSubject: \xc3\xa4\r\n\r\nx\r\n")]);

my %maps = (
    recipient_delimiter => '+', canonical_maps => 'inline:{ joe=joseph@new.test, ann@far.test=ann.smith@far.test, { "joe doe"@far.test = "jd x"@far.test } }', sender_canonical_maps => 'inline:{ bob@far.test=sender@far.test }',
    recipient_canonical_maps => 'inline:{ bob@far.test=rcpt@far.test }', masquerade_domains => 'far.test', masquerade_exceptions => 'root',
);

# name => [settings, messages]
my @cases = (
    ['checks', { header_checks => $do, mime_header_checks => 'regexp:{{/^X-Do: *(.*)/ $$1}, {/^Content-Do: *(.*)/ $$1}}', nested_header_checks => $do, body_checks => $do, header_size_limit => 2000 }, \@checks],
    ['as local mail', { %maps, header_size_limit => 2000 }, \@headers],
    ['as mail from outside', { %maps, local_header_rewrite_clients => '' }, \@headers],
    ['mail from outside, completed', { local_header_rewrite_clients => '', remote_header_rewrite_domain => 'unknown.invalid', always_add_missing_headers => 'yes', undisclosed_recipients_header => 'To: undisclosed-recipients:;' }, \@headers],
    ['checks left out', { header_checks => $do, mime_header_checks => $do, nested_header_checks => $do, body_checks => $do, receive_override_options => 'no_header_body_checks' }, [@checks[0 .. 30, 50 .. 60, 100 .. 110]]],
    ['mappings left out', { %maps, always_bcc => 'archive@far.test', virtual_alias_maps => 'regexp:{{/^to(\d+)@dest/ v$$1@far.test}}', receive_override_options => 'no_address_mappings' }, \@headers],
    ['for a 7-bit host', {}, \@mime],
    ['for a 7-bit host, with limits', { mime_nesting_limit => 3, mime_boundary_length_limit => 20 }, \@mime],
    ['for an ASCII host, UTF-8 looked for', { smtputf8_autodetect_classes => 'smtpd' }, \@utf8],
    ['strict', { strict_7bit_headers => 'yes', strict_8bitmime_body => 'yes', strict_mime_encoding_domain => 'yes', hopcount_limit => 15, message_drop_headers => 'Sender, X-To', append_dot_mydomain => 'no', canonical_classes => 'header_sender',
        canonical_maps => 'inline:{ joe=joseph@new.test }', masquerade_domains => 'far.test', masquerade_classes => 'header_recipient', disable_mime_input_processing => 'no', detect_8bit_encoding_header => 'no' }, \@headers],
);

# What differs on purpose: [case, message, reason].
my @known = (
    [qr/^checks$/, qr/REJECT 2\.0\.0/, 'REJECT with a code of success is a permanent refusal; Postfix makes a temporary one of it'],
    [qr/^checks$/, qr/^8 bit$/,        'the log is ASCII'],
    [qr/^checks$/, qr/^long line$/,    'a body line is asked about in one piece of line_length_limit octets'],
    [qr/./,        qr/^no body$/,      'the empty line that ends the header is always there'],
    [qr/local/,    qr/^long folded$/,  'what is over header_size_limit is cut off, as the manual says'],
    [qr/./,        qr/^field friends: joe, ann; , bob|^field ,joe,,ann,$|^field joe;ann$/, 'blanks and separators stay as they were written'],
    [qr/./,        qr/^field very long/, 'a long display name stays'],
    [qr/./,        qr/^field Joe Doe$|^field Joe <joe$|^field joe\@host \(x$|^field joe\@far\.test ann/, 'what is no address stays as it is'],
    [qr/./,        qr/^field joe \(c1\) \@ \(c2\) host$|^field \@r\.test:joe\@far\.test$/, 'comments inside of addresses and source routes stay, unrewritten'],
    [qr/./,        qr/^field \@far\.test$/, 'a domain alone is not given an empty local part'],
    [qr/^as local/, qr/^field joe\@\[127\.0\.0\.1\]$/, 'canonical_maps knows user names of myorigin and mydestination, not of own addresses'],
    [qr/strict/,   qr/^field gr\xc3/,   'the log is ASCII'],
    [qr/strict/,   qr/^8 bit header$/, 'the first reason is enough'],
    [qr/7-bit/,    qr/^partial$/,      'message/partial is converted, whatever that makes of it, and not said to be 7bit with octets that are not'],
    [qr/7-bit/,    qr/^no empty line$|^from within$/, 'fields of a part end in an empty line when one is added to them'],
    [qr/ASCII/,    qr/^other 8-bit header$/, 'what is no UTF-8 does not need SMTPUTF8'],
    [qr/ASCII/,    qr/^attached$/,     'only the header of the message itself says that it needs SMTPUTF8'],
    [qr/strict/,   qr/^composite/,     'the line where it was noticed is logged, not the encoding'],
);

# Replies, what was logged about content, and what arrived, for each message.
sub through {
    my ($mta, $sink, $messages) = @_;
    my (@did, %id);
    my $chat = Gatepost::Chat->new($mta->port);
    $chat->hello;
    for my $i (0 .. $#$messages) {
        $chat->say("MAIL FROM:<m$i\@far.test>");
        $chat->say("RCPT TO:<to$i\@dest.test>");
        $chat->say('DATA');
        my $reply = $chat->send_raw($messages->[$i][1] =~ s/^\./../gmr . ".\r\n")->reply;
        $id{$1} = $i if $reply =~ s/queued as (\w+)/queued/;
        $did[$i] = "reply $reply\n";
    }
    wait_for(sub { my $log = $mta->log; my %gone = map { $_ => 1 } $log =~ /(\w+): (?:removed|(?:discard|hold): )/g; !grep { !$gone{$_} } keys %id }, 30) or diag 'not all mail left';
    for (split /\n/, $mta->log) {
        next unless /cleanup\S*: (\w+): ((?:reject|warning|info|discard|hold|filter|redirect|bcc|prepend|replace|strip|pass|message rejected)\b.*)/;
        my ($id, $text) = ($1, $2);
        my ($i) = $text =~ /from=<m(\d+)\@/;
        $i //= $id{$id};
        next unless defined $i;
        $text =~ s/localhost\[127/unknown[127/;
        $did[$i] .= "log $text\n";
    }
    my $note = sub {
        my ($m) = @_;
        my ($i) = $m->{mail} =~ /<m(\d+)\@/ or return;
        my $content = $m->{content} =~ s/\AReceived: from [^\n]*\n(?:\t[^\n]*\n)*//r =~ s/^((?:Resent-)?Message-Id): <\d{14}\.\w+\@/$1: <ID@/mr =~ s/^((?:Resent-)?Date): \w{3}, *\d+ \w{3} 20.*/$1: now\r/mr;
        return $i, join(' ', sort map { /(<.*?>)/ } @{ $m->{rcpt} }) . "\n$content";
    };
    my %got;
    for ($sink->messages) {
        my ($i, $text) = $note->($_);
        push @{ $got{$i} }, $text if defined $i;
    }
    $did[$_] .= join '', map { "to $_" } sort @{ $got{$_} } for keys %got;
    return \@did;
}

# Lines that one of them has and the other has not.
sub compare {
    my @texts = @_;
    my @lines = map { [split /(?<=\n)/, $_ =~ s/([^ -~\n])/sprintf '\x%02x', ord $1/ger] } @texts;
    my @have = map { my %h; $h{$_}++ for @$_; \%h } @lines;
    return join '', map({ "  Postfix:  $_" } grep { ($have[1]{$_} // 0) < $have[0]{$_} } @{ $lines[0] }), map({ "  Gatepost: $_" } grep { ($have[0]{$_} // 0) < $have[1]{$_} } @{ $lines[1] }), "  (order)\n";
}

my (@postfix, %sink);
for my $case (@cases) {
    my @offers = $case->[0] =~ /7-bit/ ? (ehlo => ['PIPELINING']) : $case->[0] =~ /ASCII/ ? (ehlo => ['8BITMIME']) : ();
    $sink{$case->[0]} = [map { Gatepost::Sink->new(@offers) } 1, 2];
    my %main = (%base, %{ $case->[1] });
    my ($theirs, $ours) = map { "smtp:[127.0.0.1]:" . $_->port } @{ $sink{$case->[0]} };
    my $master = "other unix - n n - - discard\n";
    push @postfix, Gatepost::Postfix->new(main_cf => { %main, default_transport => $theirs }, master_cf => $master)->begin;
    $case->[3] = Gatepost::Test->new(main_cf => { %main, default_transport => $ours }, master_cf => $master);
}
my $count = 0;
for my $case (@cases) {
    my ($name, undef, $messages, $gatepost) = @$case;
    my ($their_sink, $our_sink) = @{ $sink{$name} };
    my $theirs = through(shift(@postfix)->ready, $their_sink, $messages);
    my $ours = through($gatepost->start, $our_sink, $messages);
    $count += @$messages;
    my @different = grep { my $i = $_; $ours->[$i] ne $theirs->[$i] && !grep { $name =~ $_->[0] && $messages->[$i][0] =~ $_->[1] } @known } 0 .. $#$messages;
    is scalar @different, 0, "$name: " . @$messages . ' messages' or diag map { "$messages->[$_][0]\n" . compare($theirs->[$_], $ours->[$_]) } @different;
    $gatepost->stop;
}
note "$count messages";
note "differs: $_->[2]" for @known;
done_testing;
