#!/usr/bin/perl
# t/331-notifications-postfix.t - delivery status notifications, word for word beside those of a real Postfix: the same mail, the same template file,
# the same server behind; who is told, and every line of what is told.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

plan skip_all => 'needs root and Postfix' unless Gatepost::Postfix::installed();

my $words = join ' ', ('word') x 60;
my %reply = (
    'gone'  => '550 5.1.1 no such user here', 'bare' => '550 who is that?', 'lines' => "550-5.1.1 first line\r\n550-5.1.1 second line\r\n550 5.1.1 third",
    'mixed' => '550 4.1.1 for good', 'long' => "554 5.7.1 $words" , 'glued' => '554 5.7.1 ' . 'x' x 200, 'octets' => "550 5.1.1 bell \a, tab \t, and \x80", 'full' => '452 4.2.2 mailbox full',
    '"a b"' => '550 5.1.1 no such user here', "j\xc3\xb6rg" => '550 5.1.1 no such user here', 'UPPER' => '550 5.1.1 no such user here',
    'html' => '550 5.1.1 <b>&amp; "quoted" (in parentheses)', 'colon' => '550 5.1.1 host x said: 550 5.7.9 other (in reply to RCPT TO command)', 'l' x 64 => '550 5.1.1 too long',
);
my %server = (
    good  => { ehlo => [qw(PIPELINING 8BITMIME DSN SMTPUTF8)] },
    plain => { ehlo => [qw(PIPELINING 8BITMIME)] },
    end   => { ehlo => [qw(8BITMIME)], eod => '554 5.7.1 spam, it seems' },
    later => { ehlo => [qw(8BITMIME)], eod => '451 4.3.0 later' },
    from  => { on => { MAIL => '550 5.7.1 not from you' } },
    greet => { greeting => '554 5.3.2 no service' },
    size  => { ehlo => ['SIZE 10'] },
);
my %sink = map { my $s = $_; $s => Gatepost::Sink->new(%{ $server{$s} }, rcpt => { map { ("$_\@$s.test" => $reply{$_}) } keys %reply }) } keys %server;
my $closed = free_port();

# ---- the mail: name => { to => [...], mail => parameters, rcpt => parameters, text, from, delay }; the sender is named after the case ----
my @cases;
my @notify = ('NEVER', 'FAILURE', 'DELAY', 'SUCCESS', 'SUCCESS,FAILURE', 'SUCCESS,FAILURE,DELAY');

sub mail {
    my ($name, $to, %more) = @_;
    push @cases, { name => $name, to => ref $to ? $to : [$to], mail => '', rcpt => '', %more };
}

mail("reply-$_", "$_\@good.test") for sort grep { !/\x{c3}/ } keys %reply;
mail("server-$_", "bob\@$_.test") for qw(end from greet size);
mail('two', [ 'gone@good.test', 'bare@good.test' ]);
mail('two-servers', [ 'gone@good.test', 'bare@plain.test', 'bob@greet.test' ]);
mail('half', [ 'bob@good.test', 'gone@good.test' ]);
mail('error', 'bob@error.test');
mail('error-dsn', 'bob@errdsn.test');
mail('bounced-alias', 'one@list.test');
mail('bounced-aliases', 'many@list.test');
mail('alias-orcpt', 'one@list.test', rcpt => 'ORCPT=rfc822;First+2BLast@o.test');
my %after = (fail => 'gone@good.test', relayed => 'bob@plain.test', passed => 'bob@good.test', discarded => 'bob@end.discard.test', delivered => 'bob@box.test', later => 'full@good.test', expanded => 'many-good@list.test', ownone => 'one-good@list.test');
for my $what (sort keys %after) {
    mail("notify-$what-" . lc($_) =~ s/,/-/gr, $after{$what}, rcpt => "NOTIFY=$_") for @notify;
    mail("notify-$what-none", $after{$what});
    mail("notify-$what-null", $after{$what}, from => '', rcpt => 'NOTIFY=SUCCESS,FAILURE,DELAY');
}
mail('ret-full', 'gone@good.test', mail => 'RET=FULL');
mail('ret-hdrs', 'gone@good.test', mail => 'RET=HDRS');
mail('ret-full-success', 'bob@plain.test', mail => 'RET=FULL', rcpt => 'NOTIFY=SUCCESS');
mail('ret-full-delay', 'full@good.test', mail => 'RET=FULL');
mail('envid', 'gone@good.test', mail => 'ENVID=QQ+2B314+3D159+20x');
mail('orcpt', 'gone@good.test', rcpt => 'ORCPT=rfc822;First+2BLast@o.test');
mail('orcpt-other', 'gone@good.test', rcpt => 'ORCPT=x400;/c=us/s=doe');
mail('orcpt-quoted', 'gone@good.test', rcpt => 'ORCPT=rfc822;"a+20b"@o.test');
mail('size-big', 'gone@good.test', text => "Subject: big\n\n" . "line of text\n" x 400);
mail('size-near', 'gone@good.test', text => "Subject: big\n\n" . "line of text\n" x 200);
mail('text-empty', 'gone@good.test', text => '');
mail('text-header', 'gone@good.test', mail => 'RET=HDRS', text => "Subject: only a header\n");
mail('text-body', 'gone@good.test', text => "\nonly a body\n");
mail('text-nonheader', 'gone@good.test', text => "no header at all\nmore\n");
mail('text-return', 'gone@good.test', text => "Return-Path: <x\@o.test>\nReceived: from x by y; Tue, 3 Nov 2026 10:00:00 +0000\nMessage-Id: <m\@a.test>\nSubject: s\n\nx\n");
mail('text-refs', 'gone@good.test', text => "Message-Id: <m\@a.test>\nReferences: <a\@a.test>\n <b\@a.test>\nSubject: s\n\nx\n");
mail('text-dots', 'gone@good.test', text => "Subject: s\n\n.\n..\n.x\nFrom me\n--x\n");
mail('text-8bit', 'gone@good.test', mail => 'BODY=8BITMIME', text => "Subject: s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa4\n");
mail('text-8bit-bare', 'gone@good.test', text => "Subject: s\n\n\xc3\xa4\n");
mail('text-8bit-header', 'gone@good.test', text => "Subject: \xc3\xa4\n\nx\n");
mail('text-8bit-hdrs', 'gone@good.test', mail => 'RET=HDRS BODY=8BITMIME', text => "Subject: s\n\n\xc3\xa4\n");
mail('text-mime', 'gone@good.test', text => "Subject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nx\n--b--\n");
mail('text-folded', 'gone@good.test', text => "Subject: one\n two\n\tthree\nTo: a,\n b\n\nx\n");
mail('utf8', "j\xc3\xb6rg\@good.test", mail => 'SMTPUTF8');
mail('utf8-ascii', 'gone@good.test', mail => 'SMTPUTF8');
mail('utf8-hdrs', "j\xc3\xb6rg\@good.test", mail => 'SMTPUTF8 RET=HDRS');
mail('utf8-orcpt', 'gone@good.test', mail => 'SMTPUTF8', rcpt => 'ORCPT=utf-8;j\x{f6}rg@o.test');
mail('utf8-success', "karl\xc3\xb6\@box.test", mail => 'SMTPUTF8', rcpt => 'NOTIFY=SUCCESS');
mail('utf8-later', "bob\@later.test", mail => 'SMTPUTF8');
mail('utf8-subject', 'gone@good.test', mail => 'SMTPUTF8', text => "Subject: \xc3\xa4\nTo: j\xc3\xb6rg\@x.test\n\nx\n");
mail('from-quoted', 'gone@good.test', from => '"quoted from-quoted"@back.test');
mail('from-double', 'gone@good.test', from => 'double-bounce@mx.gate.test');
mail('from-double-origin', 'gone@good.test', from => 'double-bounce@gate.test');
mail('from-double-else', 'gone@good.test', from => 'double-bounce@back.test');
mail('verp', [ 'gone@good.test', 'bare@good.test' ], mail => 'XVERP');
mail('verp-own', [ 'gone@good.test' ], mail => 'XVERP=-=');
mail('verp-ext', [ 'gone@good.test' ], mail => 'XVERP', from => 'list+x-verp-ext@back.test');
mail('delay-two', [ 'full@good.test', 'bob@later.test' ]);
mail('delay-closed', 'bob@closed.test');
mail('delay-mixed', [ 'full@good.test', 'gone@good.test' ]);

my $template = join "\n", (map { my ($name, $subject) = @$_; ("${name}_template = <<END", 'Charset: utf-8', 'From: MAILER-DAEMON (Mail Delivery System)', "Subject: $subject", ($name eq 'success' ? () : "Postmaster-Subject: Copy: $subject"), '',
    "$name at \$myhostname, \$mail_name.", 'to be tried for $maximal_queue_lifetime_days day(s), $maximal_queue_lifetime_hours, told after $delay_warning_time_seconds s; $$ stays.', '', 'Ümläut.', 'END', '') }
    [ failure => 'Undelivered: it came back' ], [ delay => 'Delayed' ], [ success => 'Arrived' ]), '';
my %given = (
    main_cf => {
        relay_domains   => join(', ', qw(error.test errdsn.test closed.test end.discard.test back.test gate.test mx.gate.test), map { "$_.test" } sort keys %server),
        virtual_alias_domains => 'list.test', virtual_alias_maps => 'texthash:$config_directory/aliases',
        virtual_mailbox_domains => 'box.test', virtual_transport => 'discard:box',
        transport_maps => 'texthash:$config_directory/transport', bounce_template_file => '$config_directory/templates', mail_name => 'MTA',
        bounce_size_limit => 3000, delay_warning_time => '1s', minimal_backoff_time => '1s', maximal_backoff_time => '1s', queue_run_delay => '1s', transport_retry_time => '1s',
        smtp_host_lookup => 'native', smtpd_authorized_verp_clients => '127.0.0.1', notify_classes => 'bounce, 2bounce, delay', bounce_notice_recipient => 'bounces@back.test',
        '2bounce_notice_recipient' => 'doubles@back.test', delay_notice_recipient => 'delays@back.test', mydestination => '', smtpd_client_connection_count_limit => 0,
        smtp_destination_concurrency_limit => 50, maximal_queue_lifetime => '2d', smtpd_recipient_limit => 100, debug_peer_level => 2, smtpd_tls_security_level => 'none', smtpd_reject_unlisted_recipient => 'no',
    },
    files => {
        templates => $template,
        aliases   => "one\@list.test gone\@good.test\nmany\@list.test gone\@good.test, bob\@good.test\nmany-good\@list.test bob\@good.test, eve\@plain.test\none-good\@list.test bob\@plain.test\n",
    },
);

# One side: its own server for what comes back.
sub side {
    my ($class) = @_;
    my $back = Gatepost::Sink->new(ehlo => [qw(PIPELINING 8BITMIME SMTPUTF8)]);
    my $transport = join '', (map { "$_.test smtp:[127.0.0.1]:" . $sink{$_}->port . "\n" } sort keys %server), "closed.test smtp:[127.0.0.1]:$closed\n", 'back.test smtp:[127.0.0.1]:' . $back->port . "\n",
        "error.test error:it is closed\nerrdsn.test error:5.2.1 it is closed\nend.discard.test discard:gone\ngate.test smtp:[127.0.0.1]:" . $back->port . "\nmx.gate.test smtp:[127.0.0.1]:" . $back->port . "\n";
    return { mta => $class->new(%given, files => { %{ $given{files} }, transport => $transport }), back => $back };
}
my %side = (postfix => side('Gatepost::Postfix'), gatepost => side('Gatepost::Test'));
$side{postfix}{mta}->begin;
$side{gatepost}{mta}->start;
$side{postfix}{mta}->ready;

sub from { my ($case) = @_; return $case->{from} // ($case->{name} =~ s/[^\w-]/_/gr . '@back.test') }

sub send_all {
    my ($mta) = @_;
    my $c = $mta->smtp;
    my @ids;
    for my $case (@cases) {
        my $r = $c->say(join ' ', 'MAIL FROM:<' . from($case) . '>', grep { length } $case->{mail});
        $r =~ /^250/ or die "$case->{name}: $r";
        ($r = $c->say(join ' ', "RCPT TO:<$_>", grep { length } $case->{rcpt})) =~ /^250/ or die "$case->{name}: $r" for @{ $case->{to} };
        $c->say('DATA');
        my $text = ($case->{text} // "Subject: $case->{name}\nFrom: x\@back.test\n\nhello\n") =~ s/\n/\r\n/gr =~ s/^\./../gmr;
        $r = $c->send_raw("$text.\r\n")->reply;
        push @ids, $r =~ /queued as (\w+)/ ? $1 : die "$case->{name}: $r";
    }
    $c->quit;
    return @ids;
}

sub settled {
    my ($s) = @_;
    my $log = $s->{mta}->log;
    my %seen;
    $seen{$1} += $2 eq 'removed' ? 100 : 1 while $log =~ /: (\w+): (removed|.*status=deferred)/g; # each attempt later than delay_warning_time counts
    return !grep { ($seen{$_} // 0) < 3 } @{ $s->{ids} };
}

$_->{ids} = [ send_all($_->{mta}) ] for values %side;

# A notification without what is by nature another one each time. Recipients go by name: we have the envelope's order, Postfix has another one.
sub plain {
    my ($m) = @_;
    my $t = "MAIL $m->{mail}\n" . join('', map { "RCPT $_\n" } @{ $m->{rcpt} }) . $m->{content} =~ s/\r\n/\n/gr;
    $t =~ s/\bSIZE=\d+ ?//g;
    my ($boundary) = $t =~ /boundary="(.*?)"/;
    $t =~ s/\Q$boundary\E/BOUNDARY/g if defined $boundary;
    $t =~ s/\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?: \(\w+\))?/DATE/g;
    $t =~ s/^(Message-Id: <)[^@]*@/$1ID@/gmi;
    $t =~ s/(\bid|-Queue-ID:) \w+/$1 ID/gi;
    $t =~ s/message size \K\d+/N/g;
    $t =~ s/^(?:X-MTA-Sender|Return-Path): \K.*/SENDER/gm;
    my @parts = split /^(?=--BOUNDARY)/m, $t;
    s/((?:^<.*\n(?:    .*\n)*\n)+)/join '', sort split m{(?<=\n\n)}, $1/em, s/((?:^Final-Recipient: .*\n(?:.+\n)*\n)+)/join '', sort split m{(?<=\n\n)}, $1/em for @parts;
    return join '', @parts;
}

# By the sender that is told of; variable envelope return paths, which Postfix does not show there, are undone.
sub told {
    my ($s) = @_;
    my %by;
    for my $m ($s->{back}->messages) {
        my ($from) = $m->{content} =~ /^X-MTA-Sender: [\w-]+; (.*?)\r$/m;
        push @{ $by{ $from =~ s/[+-](?:gone|bare)=good\.test@/@/r } }, plain($m);
    }
    return { map { my $k = $_; $k => [ sort @{ $by{$k} } ] } keys %by };
}

for my $name (sort keys %side) {
    my $s = $side{$name};
    ok wait_for(sub { settled($s) }, 30), "$name: all dealt with";
    wait_for(sub { !$s->{mta}->queued(qw(incoming active)) }, 20);
}
my %told = map { $_ => told($side{$_}) } keys %side;

# Different on purpose. Success is not reported to nobody; nor where an alias is one other address, which reports it in the alias's name.
my $nobody = $told{postfix}{'MAILER-DAEMON@mx.gate.test'};
is scalar(grep { /^Subject: Arrived/m } @$nobody), 5, 'Postfix reports success to the postmaster when the sender is null';
@$nobody = grep { !/^Subject: Arrived/m } @$nobody;
for my $from (grep { /notify-ownone-success/ } keys %{ $told{postfix} }) {
    my ($theirs, $ours) = map { delete($told{$_}{$from})->[0] } qw(postfix gatepost);
    like $theirs, qr/^Final-Recipient: rfc822; one-good\@list\.test\n.*\nAction: expanded\n/m, "$from: told of the alias by Postfix";
    like $ours, qr/^Final-Recipient: rfc822; bob\@plain\.test\nOriginal-Recipient: rfc822;one-good\@list\.test\nAction: relayed\n/m, '... and of its address by us';
}

my %seen;
for my $from (sort grep { !$seen{$_}++ } map { keys %$_ } values %told) {
    my ($theirs, $ours) = map { $told{$_}{$from} // [] } qw(postfix gatepost);
    is scalar @$ours, scalar @$theirs, "$from: as many" or diag join "\n", "Postfix:", (map { (split /\n\n/)[0] } @$theirs), "Gatepost:", map { (split /\n\n/)[0] } @$ours;
    is $ours->[$_], $theirs->[$_], "$from: $_" for 0 .. ($#$ours < $#$theirs ? $#$ours : $#$theirs);
}
$side{$_}{mta}->stop for sort keys %side;
done_testing;
