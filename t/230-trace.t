#!/usr/bin/perl
# t/230-trace.t - a filter that writes down everything is told the same by Gatepost as by Postfix: every event of every session, every macro.
#
# What Postfix 3.7 told it is in t/data/milter-trace.txt; "t/230-trace.t --record" writes that file anew with the Postfix that is installed.
# Ids, ports and the software's name are hidden. Where Gatepost differs on purpose is in %differs, each with its reason.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Certs;
use Gatepost::MilterServer qw(packet add change insert LEADSPC NR_ALL NO_ALL RCPT_REJ CAN_SKIP);
use Gatepost::Postfix;
use Gatepost::Process qw(slurp spew);
use Gatepost::Sink;
use Gatepost::Test;

my $file   = dirname(abs_path(__FILE__)) . '/data/milter-trace.txt';
my $record = @ARGV && $ARGV[0] eq '--record';
my $all    = 'j {daemon_name} {daemon_addr} v _ i {client_addr} {client_name} {client_port} {client_ptr} {client_resolve} {client_connections} '
    . '{auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer} {rcpt_addr} {rcpt_host} {rcpt_mailer} '
    . '{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer} {given} {nosuch}';

my $message = "From: Ann <ann\@far.test>\nTo: bob\@relay.test\nSubject:no blank\nX-Fold:  two\n\tlines\n\n.dot\nbody\n";
my $r       = \&packet;

my $certs = Gatepost::Certs->new;
$certs->make('mx.gate.test');
$certs->make('known.test');
$certs->make('stranger.test', by => 'self');

# STARTTLS, with a certificate or without.
sub starttls {
    my ($name) = @_;
    return sub { $_[0]->starttls(silent => 1, $name ? (SSL_use_cert => 1, SSL_cert_file => $certs->file("$name.crt"), SSL_key_file => $certs->file("$name.key")) : ()) };
}

# name, the filter's script, what the client does: a list of commands, of messages (references) to be sent as content, or of code.
my @plain    = ('EHLO cli.test', 'MAIL FROM:<ann@far.test>', 'RCPT TO:<bob@relay.test>', 'DATA', \$message);
my @sessions = (
    [ 'plain', {}, @plain, 'QUIT' ],
    [ 'helo', {}, 'HELO cli.test', @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'two messages', {}, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'two recipients', {}, @plain[ 0 .. 2 ], 'RCPT TO:<Carl@Relay.Test>', @plain[ 3, 4 ], 'QUIT' ],
    [ 'null sender', {}, 'EHLO cli.test', 'MAIL FROM:<>', @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'parameters', {}, 'EHLO cli.test', 'MAIL FROM:<ann@far.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By',
        'RCPT TO:<bob@relay.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@relay.test', @plain[ 3, 4 ], 'QUIT' ],
    [ 'address forms', {}, 'EHLO cli.test', 'MAIL FROM:<"a b"@far.test>', 'RCPT TO:<@hop.test:Bob@RELAY.test>', 'RCPT TO:<"q"@relay.test>', @plain[ 3, 4 ], 'QUIT' ],
    [ 'smtputf8', {}, 'EHLO cli.test', "MAIL FROM:<j\xc3\xb6rg\@far.test> SMTPUTF8", "RCPT TO:<GR\xc3\x9c\xc3\x9fE\@relay.test>", @plain[ 3, 4 ], 'QUIT' ],
    [ 'rset', {}, @plain[ 0 .. 2 ], 'RSET', @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'ehlo again', {}, @plain[ 0 .. 2 ], 'EHLO other.test', @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'quit in the middle', {}, @plain[ 0 .. 2 ], 'QUIT' ],
    [ 'lost in the middle', {}, @plain[ 0 .. 2 ] ],
    [ 'refused recipient unseen', {}, @plain[ 0, 1 ], 'RCPT TO:<x@elsewhere.test>', @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'refused recipient seen', { protocol => RCPT_REJ }, @plain[ 0, 1 ], 'RCPT TO:<x@elsewhere.test>', @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'unknown commands', {}, 'FOO bar', 'EHLO cli.test', 'FOO bar', 'VRFY bob', 'NOOP', 'HELP', @plain[ 1, 2 ], 'XYZZY', @plain[ 3, 4 ], 'QUIT' ],
    [ 'bad syntax', {}, 'EHLO cli.test', 'MAIL FROM:ann', 'MAIL FROM:<ann@far.test> FOO=1', 'RCPT TO:<bob@relay.test>', 'RCPT TO:', 'RSET', 'QUIT' ],
    [ 'empty body', {}, @plain[ 0 .. 3 ], \"Subject: x\n\n", 'QUIT' ],
    [ 'no header', {}, @plain[ 0 .. 3 ], \"\nonly a body\n", 'QUIT' ],
    [ 'no empty line', {}, @plain[ 0 .. 3 ], \"Subject: x\nno header this\nmore\n", 'QUIT' ],
    [ 'large body', {}, @plain[ 0 .. 3 ], \("Subject: x\n\n" . ('y' x 70 . "\n") x 2000), 'QUIT' ],
    [ '8 bit header', {}, @plain[ 0 .. 3 ], \"Subject: caf\xe9 \xc3\xa9\nX-Empty:\nX-Blank: \n\nb\n", 'QUIT' ],
    [ 'leading space', { protocol => LEADSPC }, @plain, 'QUIT' ],
    [ 'no answers', { protocol => NR_ALL }, @plain, 'QUIT' ],
    [ 'nothing wanted', { protocol => NO_ALL }, @plain, 'QUIT' ],
    [ 'version 2', { version => 2, actions => 0x3f }, @plain, 'FOO', 'QUIT' ],
    [ 'version 3', { version => 3, actions => 0x3f }, @plain, 'FOO', 'QUIT' ],
    [ 'version 4', { version => 4, actions => 0x3f }, @plain, 'FOO', 'QUIT' ],
    [ 'its own macro lists', { lists => [ [ 0, '_' ], [ 2, '{mail_addr}' ], [ 5, 'i j' ], [ 6, '{rcpt_addr} {given}' ] ] }, @plain, 'QUIT' ],
    [ 'accept at connect', { on => { C => $r->('a') } }, @plain, 'QUIT' ],
    [ 'accept at mail', { on => { M => $r->('a') } }, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'accept at rcpt', { on => { R => $r->('a') } }, @plain, 'QUIT' ],
    [ 'accept at a header', { on => { L => $r->('a') } }, @plain, 'QUIT' ],
    [ 'reject at connect', { on => { C => $r->('r') } }, 'EHLO cli.test', 'VRFY bob', 'MAIL FROM:<ann@far.test>', 'QUIT' ],
    [ 'tempfail at connect', { on => { C => $r->('t') } }, 'EHLO cli.test', 'MAIL FROM:<ann@far.test>', 'QUIT' ],
    [ 'reject at helo', { on => { H => $r->('r') } }, 'EHLO cli.test', 'MAIL FROM:<ann@far.test>', 'QUIT' ],
    [ 'reject at mail', { on => { M => [ $r->('r'), $r->('c') ] } }, @plain[ 0, 1 ], @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'reply at rcpt', { on => { R => [ $r->('y', "450 4.7.9 later\0"), $r->('c') ] } }, @plain[ 0 .. 2 ], @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'reject at data', { on => { T => [ $r->('r'), $r->('c') ] } }, @plain[ 0 .. 3 ], @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'reject at eoh', { on => { N => [ $r->('r'), $r->('c') ] } }, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'reject at the end', { on => { E => [ $r->('r'), $r->('c') ] } }, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'discard at rcpt', { on => { R => $r->('d') } }, @plain[ 0 .. 2 ], @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'discard at the end', { on => { E => $r->('d') } }, @plain, 'QUIT' ],
    [ 'skip headers and body', { protocol => CAN_SKIP, on => { L => $r->('s'), B => $r->('s') } },
        @plain[ 0 .. 3 ], \("A: b\nB: c\n\n" . ('y' x 70 . "\n") x 2000), 'QUIT' ],
    [ 'changes', { on => { E => add('X-A', 'b') . change(1, 'Subject', '') . insert(0, 'X-I', 'j') . $r->('+', "more\@relay.test\0") . $r->('e', "new\@far.test\0")
                . $r->('b', "new\r\n") . $r->('p') . $r->('a') } }, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'closes at a header', { on => { L => 'CLOSE' } }, @plain, @plain[ 1 .. 4 ], 'QUIT' ],
    [ 'another client', {}, 'XCLIENT NAME=mail.far.test ADDR=192.0.2.77 PORT=1234 HELO=x.test', @plain, 'QUIT' ],
    [ 'a client with IPv6', {}, 'XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::77 PORT=99', @plain, 'QUIT' ],
    [ 'STARTTLS', {}, 'EHLO cli.test', starttls(), @plain, 'QUIT' ],
    [ 'STARTTLS in a transaction', {}, @plain[ 0 .. 2 ], starttls(), @plain, 'QUIT' ],
    [ 'a known certificate', {}, 'EHLO cli.test', starttls('known.test'), @plain, 'QUIT' ],
    [ 'an unknown certificate', {}, 'EHLO cli.test', starttls('stranger.test'), @plain, 'QUIT' ],
    [ 'a login', {}, 'XCLIENT LOGIN=joe', 'EHLO cli.test', 'MAIL FROM:<ann@far.test> AUTH=ann@far.test', @plain[ 2 .. 4 ], 'QUIT' ],
    [ 'BDAT', {}, @plain[ 0 .. 2 ], [ 'BDAT 20', "Subject: x\r\n\r\nhello " ], [ 'BDAT 7 LAST', "world\r\n" ], 'QUIT' ],
    [ 'sendmail', {}, { from => 'ann@far.test', to => ['bob@relay.test'] } ],
    [ 'sendmail, null sender', {}, { from => '<>', to => [ 'bob@relay.test', 'Carl@relay.test' ] } ],
    [ 'sendmail, refused', { on => { N => $r->('r') } }, { from => 'ann@relay.test', to => ['bob@relay.test'] } ],
);

# session => why, and how Postfix's record is brought into line
my @own_rewrite = (
    'the client that XCLIENT names is not local, so nothing is added to its header, and limits on connections are those of the real one',
    sub { $_[0] =~ s/^L (?:Message-Id|Date)\|.*\n//mgr =~ s/(\{client_connections\})=1/$1=0/r },
);
my %differs = (
    'discard at rcpt'    => [ 'filters of local mail are not asked about what is thrown away', sub { $_[0] =~ s/^--\nO .*//msr } ],
    'another client'     => [ "no ABORT for a HELO that filters never heard of; $own_rewrite[0]", sub { $own_rewrite[1]->($_[0]) =~ s/^(H .*\n)A\n/$1/mr } ],
    'a client with IPv6' => \@own_rewrite,
);

sub run_session {
    my ($mta, @steps) = @_;
    my $c;
    for my $step (@steps) {
        if (ref $step eq 'HASH') {
            local $mta->{stdin} = 1;
            open my $in, '|-', $mta->sendmail('-f', $step->{from}, '--', @{ $step->{to} }) or die "sendmail: $!";
            print $in $message;
            close $in;
            next;
        }
        $c //= $mta->smtp(silent => 1, patience => 20);
        $c->reply unless $c->{greeted}++;
        if (ref $step eq 'CODE') {
            $step->($c);
        } elsif (ref $step eq 'SCALAR') {
            $c->send_raw($$step =~ s/\n/\r\n/gr =~ s/^\./../mgr . ".\r\n")->reply;
        } elsif (ref $step) {
            $c->send_raw("$step->[0]\r\n$step->[1]")->reply;
        } else {
            $c->say($step);
        }
    }
    close $c->{sock} if $c;
}

sub normalise {
    my ($text, $mta, $sink) = @_;
    my $port = $mta->port;
    $text =~ s/\bi=[0-9A-Za-z]{6,}/i=<id>/g;
    $text =~ s/\bv=(?:Postfix|Gatepost) [^ }]+/v=<version>/g;
    $text =~ s/^(C .*\|)\d+(\|127\.0\.0\.1)/$1<port>$2/mg;
    $text =~ s/\{client_port\}=[1-9]\d{4}/{client_port}=<port>/g;
    $text =~ s/:$sink\b/:<sink>/g;
    $text =~ s/^(L Message-Id\| ?)<\d{14}\.[0-9A-Za-z]+\@/$1<<id>@/mg;
    $text =~ s/^(L Date\| ?)\w\w\w, .*?(?= \{)/$1<date>/mg;
    return $text;
}

sub run_all {
    my ($class) = @_;
    my $sink   = Gatepost::Sink->new;
    my $filter = Gatepost::MilterServer->new;
    my $mta    = $class->new(sink => $sink->port, quiet => 1, main_cf => {
        smtpd_milters => $filter->endpoint, non_smtpd_milters => $filter->endpoint, milter_macro_defaults => '{given}=value',
        smtpd_tls_security_level => 'may', smtpd_tls_chain_files => $certs->file('mx.gate.test.pem'), smtpd_tls_CAfile => $certs->file('ca.crt'),
        smtpd_tls_ask_ccert => 'yes', smtpd_sasl_auth_enable => 'yes', relay_recipient_maps => '', inet_protocols => 'all', smtputf8_enable => 'yes', smtpd_relay_restrictions => 'permit_mynetworks, reject_unauth_destination',
        map { ("milter_${_}_macros" => $all) } qw(connect helo mail rcpt data end_of_header end_of_data unknown_command),
    })->start;
    my %records;
    $filter->records(1); # of the one who looked whether the port is open
    for my $session (@sessions) {
        my ($name, $script, @steps) = @$session;
        $filter->script(%$script);
        run_session($mta, @steps);
        $records{$name} = join "--\n", map { normalise($_, $mta, $sink->port) } $filter->records(1);
    }
    $mta->stop;
    return \%records;
}

sub as_text {
    my ($records) = @_;
    return join '', map { "== $_->[0]\n$records->{$_->[0]}" } @sessions;
}

if ($record) {
    Gatepost::Postfix::installed() or die "no Postfix here, or not root\n";
    spew($file, as_text(run_all('Gatepost::Postfix')));
    exit 0;
}
if (@ARGV && $ARGV[0] eq '--show') {
    print as_text(run_all('Gatepost::Test'));
    exit 0;
}

my %wanted = slurp($file) =~ /^== (.*)\n((?:(?!== ).*\n)*)/mg;
my $got = run_all('Gatepost::Test');
for my $session (@sessions) {
    my $name = $session->[0];
    my $want = $wanted{$name} // '';
    $want = $differs{$name}[1]->($want) if $differs{$name};
    is $got->{$name}, $want, $name . ($differs{$name} ? " (differs: $differs{$name}[0])" : '');
}
done_testing;
