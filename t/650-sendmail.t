#!/usr/bin/perl
# t/650-sendmail.t - sendmail -bs: what a program says on standard input becomes mail, one message for each that was meant as one.
use strict;
use warnings;
use Gatepost::Process qw(slurp spew);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $sink = Gatepost::Sink->new;
my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => { message_size_limit => '20000' })->start;
my $sendmail = Gatepost::Test::build() . '/sbin/sendmail';

sub dialogue {
    my ($input) = @_;
    spew($mta->dir . '/input', $input);
    my $text = `'$sendmail' -C '@{[ $mta->dir ]}/conf' -bs <'@{[ $mta->dir ]}/input' 2>&1`;
    is $? >> 8, 0, 'status';
    return join ' ', $text =~ /^(\d{3} \d\.\d\.\d|\d{3})(?= )/mg;
}

my $begin = "EHLO a\r\nMAIL FROM:<s\@ext.test>\r\nRCPT TO:<r\@far.test>\r\nDATA\r\n";
is dialogue("${begin}Subject: one\r\n\r\n..dot\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<\"a b\"\@far.test>\r\nRCPT TO:<c\@far.test>\r\nDATA\r\nSubject: two\r\n\r\nx\r\n.\r\nQUIT\r\n"),
    '220 250 250 2.1.0 250 2.1.5 354 250 2.0.0 250 2.1.0 250 2.1.5 250 2.1.5 354 250 2.0.0 221 2.0.0', 'two messages';
my $one = $sink->wait_message(qr/Subject: one/);
is $one->{mail}, '<s@ext.test>', 'sender' or diag $mta->log;
like $one->{content}, qr/^\.dot\r$/m, 'dots';
my $two = $sink->wait_message(qr/Subject: two/);
like $two->{mail}, qr/^<>/, 'no sender';
is join(' ', sort map { /^(<.*?>)/ } @{ $two->{rcpt} }), '<"a b"@far.test> <c@far.test>', 'recipients';

is dialogue("${begin}Subject: smuggle\r\n\r\nb\n.\nMAIL FROM:<evil\@ext.test>\r\nRCPT TO:<x\@far.test>\r\nDATA\r\nSubject: hidden\r\n\r\nx\r\n.\r\nQUIT\r\n"),
    '220 250 250 2.1.0 250 2.1.5 354 550 5.5.2 221 2.0.0', 'a line end of another kind: nothing is taken';
is dialogue("${begin}a\rb\r\n.\r\nQUIT\r\n"), '220 250 250 2.1.0 250 2.1.5 354 550 5.5.2 221 2.0.0', 'neither with a CR inside';
is dialogue("helo a\nmail from:<s\@ext.test>\nrcpt to:<r\@far.test>\ndata\nSubject: three\n\nx\n.\n"), '220 250 250 2.1.0 250 2.1.5 354 250 2.0.0 221 2.0.0', 'LF alone, all the way';
ok $sink->wait_message(qr/Subject: three/), '... is a message';
is dialogue("${begin}Subject: cut\r\n\r\nx\r\n"), '220 250 250 2.1.0 250 2.1.5 354 221 2.0.0', 'without its end it is none';
is dialogue($begin . "x\r\n" x 10000 . ".\r\nRSET\r\n"), '220 250 250 2.1.0 250 2.1.5 354 552 5.3.4 250 2.0.0 221 2.0.0', 'too large';
is dialogue("MAIL FROM:<a\@b>\r\nEHLO x\r\nRCPT TO:<a\@b>\r\nDATA\r\nMAIL FROM:<a\@b> X=1\r\nMAIL FROM:<a b>\r\nMAIL\r\nMAIL FROM:<a\@b>\r\nMAIL FROM:<a\@b>\r\nDATA\r\nRCPT TO:<>\r\nRCPT TO:<\"\">\r\nVRFY a\r\nEXPN a\r\n\r\nNOOP\r\n"),
    '220 503 5.5.1 250 503 5.5.1 503 5.5.1 555 5.5.4 501 5.1.3 501 5.5.4 250 2.1.0 503 5.5.1 554 5.5.1 501 5.1.3 501 5.1.3 252 2.0.0 502 5.5.2 502 5.5.2 250 2.0.0 221 2.0.0', 'what is refused';
ok $mta->wait_empty, 'all is sent';
is scalar(grep { $_->{content} =~ /smuggle|hidden|cut/ } $sink->messages), 0, 'and nothing else';
$mta->stop;

# ---- sendmail's parameters ----
my $me = getpwuid $>;
my $other = Gatepost::Test->new(sink => $sink->port, main_cf => {
    content_filter => 'smtp:', default_filter_nexthop => '[127.0.0.1]:' . $sink->port, info_log_address_format => 'internal', recipient_delimiter => '+',
    sendmail_fix_line_endings => 'strict', local_login_sender_maps => "inline:{ { $me = me\@ext.test, \@own.test <> } }",
})->start;

sub send_as {
    my ($input, @arguments) = @_;
    spew($other->dir . '/input', $input);
    my $text = `'$sendmail' -C '@{[ $other->dir ]}/conf' @arguments <'@{[ $other->dir ]}/input' 2>&1`;
    return ($? >> 8) . " $text";
}

is send_as("Subject: from $_\n\nx\n", "-f '$_' r\@far.test"), '0 ', "as $_" for qw(me@ext.test me+x@EXT.test any@own.test <>);
like send_as("Subject: forged\n\nx\n", "-f '$_' r\@far.test"), qr/^77 sendmail: fatal: User $me\(\d+\) is not allowed to send mail as </, "not as $_" for qw(you@ext.test own.test x@sub.own.test);
like send_as("Subject: forged\n\nx\n", 'r@far.test'), qr/^77 /, 'nor by the login name, which is not listed';
spew($other->dir . '/input', "EHLO a\r\nMAIL FROM:<you\@ext.test>\r\nMAIL FROM:<me\@ext.test>\r\n");
like `'$sendmail' -C '@{[ $other->dir ]}/conf' -bs <'@{[ $other->dir ]}/input' 2>&1`, qr/^553 5\.7\.1 .*\r\n250 2\.1\.0/m, '-bs neither';
is send_as("Subject: mixed\n\na\r\nb\n", '-f me@ext.test', q{'"a b"@far.test'}), '0 ', 'mixed line ends, LF first';
like $sink->wait_message(qr/Subject: mixed/)->{content}, qr/^a \r\nb\r\n/m, '... the CR is no part of the line end';
is send_as("Subject: dos\r\n\r\na\r\nb\n", '-f me@ext.test r@far.test'), '0 ', 'mixed line ends, CRLF first';
like $sink->wait_message(qr/Subject: dos/)->{content}, qr/^a\r\nb\r\n/m, '... it is';
ok $other->wait_empty, 'all went to the filter without a next hop of its own';
ok $other->log_has(qr/to=<a b\@far\.test>, relay=/), 'addresses in the log as they are';
is scalar(grep { $_->{content} =~ /forged/ } $sink->messages), 0, 'nothing forged';
$other->stop;
done_testing;
