#!/usr/bin/perl
# t/650-sendmail.t - sendmail: -bs, where what a program says on standard input becomes mail, one message for each that was meant as one; its
# parameters; reports of deliveries and of what would be delivered, and its options, beside Postfix's where that is installed.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(slurp spew wait_for);
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

# ---- beside Postfix ----
my %class = (gatepost => 'Gatepost::Test', Gatepost::Postfix::installed() ? (postfix => 'Gatepost::Postfix') : ());
my %at = map { $_ => Gatepost::Sink->new } sort keys %class;
my %there;
for (reverse sort keys %class) {
    $there{$_} = $class{$_}->new(sink => $at{$_}->port, main_cf => {
        myorigin => 'origin.test', mydestination => 'local.test', mail_name => 'MTA', compatibility_level => '3.6', recipient_delimiter => '+', content_filter => 'smtp:[127.0.0.1]:' . $at{$_}->port,
        local_recipient_maps => 'inline:{ ann=x, bob=x }', alias_maps => 'inline:{ { ann = |/bin/false }, { bob = x@far.test, y@far.test }, { cat = /dev/null } }', allow_mail_to_files => 'alias', mailbox_transport_maps => 'inline:{ dan=discard:dan }',
        virtual_mailbox_domains => 'box.test', virtual_mailbox_maps => 'inline:{ a@box.test=a/, m@box.test=m }', virtual_mailbox_base => '/nonexistent', virtual_uid_maps => 'static:65534', virtual_gid_maps => 'static:65534',
        virtual_alias_maps => 'inline:{ { list@local.test = ann@local.test, r@far.test } }', minimal_backoff_time => '1h', maximal_backoff_time => '1h',
        transport_maps => 'inline:{ pipe.test=program:, disc.test=discard:gone, { err.test = error:5.1.2 no way }, { later.test = retry:4.3.5 later }, dead.test=smtp:[127.0.0.1]:9 }',
    }, master_cf => "program unix - n n - - pipe user=nobody argv=/bin/false \${recipient}\n")->start;
}

# (status and output, the content of the report that is mailed to the sender, the lines of the log about deliveries)
sub reported {
    my ($who, $input, $sender, @arguments) = @_;
    my $mta = $there{$who};
    spew($mta->dir . '/input', $input);
    my @command = map { s/'/'\\''/gr } $mta->sendmail('-f', $sender, @arguments);
    my $text = `@{[ join ' ', map { "'$_'" } @command ]} <'@{[ $mta->dir ]}/input' 2>&1`;
    my $status = $? >> 8;
    my $report = '';
    wait_for(sub { ($report) = grep { /Subject: Mail Delivery Status Report/ && /^To: \Q$sender\E\r?$/m } map { $_->{content} } $at{$who}->messages; $report }, 20);
    my ($id) = ($report // '') =~ /^X-MTA-Queue-ID: (\S+?)\r?$/m;
    $report =~ s/\r//g if $report;
    my @log = sort map { s/delay=.*?, dsn=/dsn=/r =~ s/:\d{4,5},/:port,/r =~ s/conn_use=\d+, //r } $id ? $mta->log =~ /: $id: (to=.*)$/mg : ();
    return ("$status $text", $report // 'no report', \@log);
}

# What a report says of each recipient.
sub told {
    my ($report) = @_;
    $report =~ s/\n[ \t]+/ /g;
    return [sort map { join '; ', /^((?:Final-Recipient|Action|Status|Remote-MTA|Diagnostic-Code): .*?)(?::\d{4,5})?(?:: 250.*)?$/mg } grep { /^Final-Recipient/ } split /\n\n/, $report];
}

my @probed = qw(r@far.test ann@local.test unknown@local.test cat@local.test list@local.test dan@local.test a@box.test m@box.test b@box.test p@pipe.test d@disc.test e@err.test t@later.test dead@dead.test);
my %probe = map { $_ => [reported($_, '', 'probe@far.test', '-bv', @probed, 'bob@local.test')] } sort keys %there;
is $probe{gatepost}[0], "0 Mail Delivery Status Report will be mailed to <probe\@far.test>.\n", '-bv';
is scalar(@{ told($probe{gatepost}[1]) }), 16, 'all recipients are in the report';
like $probe{gatepost}[1], qr/^<bob\@local\.test>: delivery via local: forwards to x\@far\.test; forwards to\n +y\@far\.test$/m, 'both ways of an alias' or diag $probe{gatepost}[1];
like $probe{gatepost}[1], qr/^<unknown\@local\.test>: delivery via local: unknown user: "unknown"$/m, 'who is unknown';
like $probe{gatepost}[1], qr/^Subject: probe\nTo: r\@far\.test,\n ann\@local\.test,$/m, 'the message that was none';
ok wait_for(sub { !grep { $_->{mail} =~ /probe/ } $at{gatepost}->messages }, 1), 'nothing was delivered';
my %verbose = map { $_ => [reported($_, "Subject: verbose\n\nx\n", 'verbose@far.test', '-v', 'r@far.test')] } sort keys %there;
is $verbose{gatepost}[0], "0 Mail Delivery Status Report will be mailed to <verbose\@far.test>.\n", '-v';
like $verbose{gatepost}[1], qr/^<r\@far\.test>: delivery via 127\.0\.0\.1.* 250 2\.0\.0 Ok: queued$/m, 'what became of the message';
like $verbose{gatepost}[1], qr/^Action: relayed\nStatus: 2\.0\.0$/m, '... for programs';
unlike $verbose{gatepost}[1], qr/^x$/m, '... without its text';
SKIP: {
    skip 'no Postfix', 4 unless $there{postfix};
    is_deeply [grep { !/bob/ } @{ $probe{gatepost}[2] }], [grep { !/bob/ } @{ $probe{postfix}[2] }], '-bv: log as of Postfix';
    is_deeply [grep { !/\b[xy]\@far|bob/ } @{ told($probe{gatepost}[1]) }], [grep { !/\b[xy]\@far|bob/ } @{ told($probe{postfix}[1]) }], '... and report';
    is_deeply $verbose{gatepost}[2], $verbose{postfix}[2], '-v: log as of Postfix';
    is_deeply told($verbose{gatepost}[1]), told($verbose{postfix}[1]), '... and report';
}

# Options: [arguments, input]; N in them becomes a number of the case's own.
my $to = 'rN@far.test';
my @options = (
    map({ [$_, 'x'] } "-Am $to", "-Ac $to", "-B8BITMIME $to", "-B 7BIT $to", "-h5 $to", "-h 5 $to", "-i $to", "-L tag $to", "-m $to", "-N never $to", "-N success,delay $to", "-N bad $to", "-N never,success $to", "-O a=b $to", "-o7 $to", "-o8 $to", "-oA/etc/x $to",
        "-oi $to", "-om $to", "-oem $to", "-ox $to", "-o x $to", "-p smtp:h $to", "-R full $to", "-R hdrs $to", "-R bad $to", "-r s\@far.test $to", "-f s\@far.test -r t\@far.test $to", "-f '' $to", "-f '<>' $to", "-f 'a b <x\@far.test>' $to", "-f '<x\@far.test>' $to",
        "-f x\@far.test,y\@far.test $to", qq(-f '"q q"\@far.test' $to), "-f x $to", "-U $to", "-V envid $to", "-V 'en vid+=' $to", "-V '' $to", "-XV $to", "-XV+= $to", "-x $to", "-em $to", "-e p $to", "-bm $to", "-b m $to", "-q5m $to", "-- $to", "$to -f s\@far.test",
        "-bh", "-bH", "a$to,b$to 'c$to d$to'", "'grp: a$to, b$to;'", qq('"Name" <$to>'), "'$to (comment)'", "-t $to", "-F 'A B' $to", "-F 'A, B.' $to", "a\@$to -i b\@far.test"),
    ["-t", "To: a$to,\n b$to\nCc: g: c$to, d$to;\nBcc: e$to\nSubject: t\n\nx\n"], ["-t", "Resent-To: a$to\nTo: b$to\nBcc: c$to\nSubject: t\n\nx\n"], ["-t", "Resent-Bcc: a$to\nBcc: c$to\nTo: b$to\n\nx\n"], ["-t", "Resent-From: a$to\nTo: b$to\nBcc: z$to\n\nx\n"],
    ["-t", "To: undisclosed-recipients:;\nBcc: z$to\n\nx\n"], ["-t -f s\@far.test", "From: me\nTo: a$to\n\nx\n"], [$to, "Bcc: z$to\nTo: b$to\n\nx\n"], ["-t q$to", "To: a$to\n\nx\n"], ["-ti", "To: a$to\n\nx\n.\ny\n"], ["-it", "To: $to\n\nx\n"], ["-t -oi -f s\@far.test", "To: $to\n\nx\n"],
    ["-t", "To: a$to\nTo: b$to\n\nx\n"], [$to, "a\n.\nb\n"], ["-i $to", "a\n.\nb\n"], [$to, "From x\n>From y\nSubject: f\n\nFrom z\n"], [$to, "\nbody\n"], [$to, 'no line end'], [$to, ''], [$to, "a\0b\n"], ["-t", qq(To: "a, b" <$to>\n\nx\n)], ["-t", "To : $to\n\nx\n"],
    ["-t", "To: a$to b$to\n\nx\n"], ["-G -f g\@far.test $to", "Subject: g\nTo: joe\n\nx\n"], ["-G -t -f g\@far.test", "Subject: g\nTo: $to\nBcc: z$to\n\nx\n"], ["-t", "Apparently-To: a$to\nTo: $to\n\nx\n"], ["-t", "Subject: x\nBcc: a$to\nBcc: b$to\n\nx\n"],
);

# name of the case => what was said and sent
sub by_options {
    my ($who) = @_;
    my ($mta, %did) = $there{$who};
    for my $i (0 .. $#options) {
        my ($arguments, $input) = map { s/N\@/$i\@/gr =~ s/(\@r$i)\@/$1/gr } @{ $options[$i] };
        spew($mta->dir . '/input', $input);
        my $text = `@{[ $mta->sendmail ]} $arguments <'@{[ $mta->dir ]}/input' 2>&1`;
        $did{$i} = ($? == 0 ? 'taken' : 'refused') . ($text =~ /(warning:.*?ignored|warning:.*? malformed)/ ? ', warned' : '');
    }
    wait_for(sub { $mta->queued == 0 && @{ [$mta->log =~ /: removed$/mg] } >= @{ [$mta->log =~ /uid=\d+ from=</g] } }, 20) or diag "$who has mail left";
    for ($at{$who}->messages) {
        my ($i) = "@{ $_->{rcpt} }" =~ /(\d+)\@far/ or next;
        my ($header, $body) = split /\r\n\r\n/, $_->{content} =~ s/\AReceived: [^\n]*\n(?:\t[^\n]*\n)*//r, 2;
        my $fields = join ' | ', sort split /\r\n(?![ \t])/, $header;
        $fields =~ s/(Message-Id: <)[^@]*/$1/g;
        $fields =~ s/Date: [^|]*\d/Date:/g;
        $did{$i} .= "\n$_->{mail} " . join(' ', sort @{ $_->{rcpt} }) . "\n$fields\n" . ($body // '');
    }
    return \%did;
}

SKIP: {
    skip 'no Postfix', 1 unless $there{postfix};
    my %did = map { $_ => by_options($_) } sort keys %there;
    my @known = ([qr/^-N bad/, 'its warning is longer'], [qr/malformed|^-f x\@far.test,|^-f ''|^-f '<>'/, 'MAILER-DAEMON has a name'], [qr/^-B 7BIT/, 'which goes without saying'], [qr/^-q5m/, 'no daemon: mail is taken'], [qr/ -f s\@far\.test$/, 'a name that looks like an option gets no domain']);
    my @different = grep { my $i = $_; ($did{gatepost}{$i} // '') ne ($did{postfix}{$i} // '') && !grep { $options[$i][0] =~ $_->[0] } @known } 0 .. $#options;
    is scalar @different, 0, scalar(@options) . ' ways to submit a message' or diag map { "$options[$_][0] <<$options[$_][1]\n  Postfix:  $did{postfix}{$_}\n  Gatepost: $did{gatepost}{$_}\n" } @different;
}
$_->stop for values %there;
done_testing;
