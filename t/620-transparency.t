#!/usr/bin/perl
# t/620-transparency.t - what is relayed is what was sent, octet by octet, below the fields that are put on top: odd headers times odd bodies, by
# DATA and BDAT, through memory and through the disk, with header and body checks that look at everything and change nothing. Files of a
# directory of messages are sent as well: GP_MESSAGES=DIR.
use strict;
use warnings;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use File::Find qw(find);
use Test::More;

my %headers = (
    usual           => "From: a\@a.test\r\nTo: b\@b.test\r\nSubject: x\r\nMessage-ID: <1\@a.test>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n",
    bare            => "Subject: x\r\n",
    'empty fields'  => "Subject:\r\nX-Nothing: \r\nX-Blank:  \t \r\nTo:\r\n",
    folds           => "Subject: one\r\n two\r\n\tthree\r\n \r\n four\r\nX-Only:\r\n \r\n\t\r\n x\r\n",
    'folded names'  => "References: <1\@a.test>\r\n\t<2\@a.test>\r\n\t<3\@a.test>\r\nReceived: from x\r\n\tby y; now\r\nX-A: b\r\n",
    'long line'     => 'Subject: ' . 'word ' x 300 . "\r\nX-Long: " . 'y' x 5000 . "\r\n",
    'long field'    => "X-Folded: a\r\n" . join('', map { " part $_\r\n" } 1 .. 2000),
    '8 bit'         => "Subject: gr\xfc\xdfe \x80\xff\r\nFrom: \xc3\xa4nn <a\@a.test>\r\n",
    repeated        => join('', map { "X-Same: $_\r\nReceived: by r$_; now\r\n" } 1 .. 20) . "Subject: a\r\nSubject: b\r\nFrom: a\@a.test\r\nFrom: b\@b.test\r\n",
    'odd names'     => "x_Y.z!#\$%&'*+: 1\r\nA: 2\r\n-: 3\r\nsubject: lower\r\nSUBJECT: upper\r\n",
    addresses       => "From: \"a \\\"b\\\" c\" (comment (nested)) <a\@a.test> , group: x\@y.test,z ; (end)\r\nTo: undisclosed-recipients:;\r\nCc: joe, ann\@host, <\@r.test:u\@v.test>, a%b\@c.test\r\nReply-To: <>\r\nSender: x!y\r\n",
    encoded         => "Subject: =?utf-8?b?w6R=?= =?x?q?=?=\r\nFrom: =?iso-8859-1?q?=22=3C=3E?= <a\@a.test>\r\n",
    control         => "Subject: a\x01b\x7fc\x0bd\x0ce\r\nX-Nul: a\x00b\r\n",
    mime            => "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b 1\"\r\nContent-Transfer-Encoding: 7bit\r\n",
    'mime, wrong'   => "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\r\nContent-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n",
    'mime, message' => "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n",
    signed          => "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=a.test;\r\n\ts=x; h=from:subject;\r\n\tbh=abc=;\r\n\tb=def\r\nAuthentication-Results: a.test; dkim=pass\r\nARC-Seal: i=1\r\n",
    'many fields'   => join('', map { "X-F$_: value $_\r\n" } 1 .. 800),
    'no blanks'     => "Subject:x\r\nFrom:a\@a.test\r\nTo:b\@b.test\r\n",
    resent          => "Resent-From: r\@r.test\r\nResent-To: s\@s.test\r\nResent-Date: now\r\nSubject: x\r\n",
);
my %bodies = (
    none             => '',
    'one line'       => "hello\r\n",
    dots             => ".\r\n..\r\n...\r\n.x\r\n\r\n.\r\n" . ".\r\n" x 50,
    'blank lines'    => "\r\n\r\n\r\n",
    'blanks at ends' => "a \r\nb\t\r\n \r\n\t\r\nc  \r\n",
    '8 bit'          => join('', map { chr } grep { $_ != 10 && $_ != 13 } 1 .. 255) . "\r\n",
    nul              => "a\x00b\r\n\x00\r\n\x00\x00\x00\r\n",
    'long line'      => 'x' x 20000 . "\r\n" . 'y' x 998 . "\r\n" . 'z' x 999 . "\r\n",
    large            => join('', map { "line $_ " . '0123456789 abcdefghijklmnopqrstuvwxyz ' x 2 . "\r\n" } 1 .. 3500),
    from             => "From me\r\n>From you\r\nFrom: inside\r\n\r\nFrom us\r\n",
    parts            => "preamble\r\n--b 1\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b 1\r\n\r\nsecond\r\n--b 1--\r\nepilogue\r\n",
    'parts, unended' => "--b 1\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n--b 1\r\nnot a header\r\n",
    'a message'      => "From: x\r\nSubject: inner\r\n y\r\n\r\ntext\r\n",
    base64           => join('', map { 'QUJD' x 19 . "\r\n" } 1 .. 20) . "QQ==\r\n",
    'quoted'         => "a=3D\r\nb=\r\n=20\r\n==\r\n",
    deep             => join('', map { "--b 1\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n" } 1 .. 150) . "end\r\n",
    'smtp'           => "QUIT\r\nDATA\r\nRSET\r\n354\r\nBDAT 5\r\n",
);
my @messages = map { my $h = $_; map { ["$h / $_", $headers{$h} . "\r\n" . $bodies{$_}] } sort keys %bodies } sort keys %headers;
push @messages, map { ["$_ alone", $headers{$_}] } sort keys %headers;

if (my $dir = $ENV{GP_MESSAGES}) {
    my @files;
    find({ no_chdir => 1, wanted => sub { push @files, $_ if -f && !/\.json$/ } }, $dir);
    for my $file (sort @files) {
        my $text = slurp($file) =~ s/\r?\n/\r\n/gr =~ s/([^\n])\z/$1\r\n/r;
        next if $text =~ /\r(?!\n)/; # a stray CR becomes a blank: another test
        push @messages, [$file, $text];
    }
}

# What should arrive: fields that are dropped or written differently are known, and a header without its empty line gets one.
sub expected {
    my ($text) = @_;
    my $field = qr/(?:[!-9;-~]+[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)/;
    my ($header, $rest) = $text =~ /\A((?:>*From [^\r\n]*\r\n)?$field*)(.*)\z/s;
    $header =~ s/\A>*From /X-Mailbox-Line: $&/;
    $header =~ s/^(?:bcc|content-length|resent-bcc|return-path)[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*//gmi;
    $header =~ s/^([!-9;-~]+)[ \t]+:/$1:/gm;
    return $header . ($rest =~ /\A\r\n/ ? '' : "\r\n") . $rest;
}

my %instance = (
    'by DATA' => {},
    'by BDAT, through the disk' => { cleanup_memory_limit => '1k' },
    'under checks' => { map({ $_ => 'regexp:{{/^no such thing$$/ REJECT}, {/^[a-z]/ DUNNO}}, pcre:{{/./ DUNNO}}' } qw(header_checks mime_header_checks nested_header_checks body_checks)), body_checks_size_limit => '100m', strict_mime_encoding_domain => 'no' },
);
for my $name (sort keys %instance) {
    my $sink = Gatepost::Sink->new;
    my $mta = Gatepost::Test->new(
        sink    => $sink->port,
        main_cf => { local_header_rewrite_clients => '', smtp_line_length_limit => '0', header_size_limit => '102400', message_size_limit => '0', smtpd_client_message_rate_limit => '0', %{ $instance{$name} } },
    )->start;
    my $chat = $mta->smtp;
    my $bad = '';
    for my $i (0 .. $#messages) {
        my $text = $messages[$i][1];
        $chat->say("MAIL FROM:<m$i\@a.test> BODY=8BITMIME");
        my $answer = $chat->say("RCPT TO:<m$i\@relay.test>");
        if ($name =~ /BDAT/) {
            my $half = int(length($text) / 2);
            $chat->send_raw("BDAT $half\r\n" . substr $text, 0, $half)->reply;
            $answer = $chat->send_raw('BDAT ' . (length($text) - $half) . " LAST\r\n" . substr $text, $half)->reply;
        } else {
            $chat->say('DATA');
            $answer = $chat->send_raw($text =~ s/^\./../gmr . ".\r\n")->reply;
        }
        $bad .= "$messages[$i][0]: $answer\n" if $answer !~ /^250/;
    }
    is $bad, '', "$name: all " . @messages . ' messages are taken';
    ok $mta->wait_empty(60), '... and gone';
    my %arrived = map { ($_->{mail} =~ /<m(\d+)\@/)[0] => $_->{content} } $sink->messages;
    my @different;
    for my $i (0 .. $#messages) {
        my $got = ($arrived{$i} // 'nothing') =~ s/\AReceived: from [^\n]*\n(?:\t[^\n]*\n)*//r;
        my $want = expected($messages[$i][1]);
        next if $got eq $want;
        my $at = 0;
        $at++ while $at < length $got && $at < length $want && substr($got, $at, 1) eq substr($want, $at, 1);
        push @different, sprintf "%s, octet %d: got \"%s\", want \"%s\"", $messages[$i][0], $at, map { substr($_, $at > 20 ? $at - 20 : 0, 60) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger } $got, $want;
    }
    is scalar @different, 0, '... unchanged' or diag join "\n", @different[0 .. ($#different < 30 ? $#different : 30)];
    $mta->stop;
}
done_testing;
