#!/usr/bin/perl
# t/020-commands.t - gatepost and sendmail without a running mail system: configuration, check, tables, submission, queue listings.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IPC::Open3;
use POSIX ();
use Symbol qw(gensym);
use Test::More;

my $top   = dirname(dirname(abs_path(__FILE__)));
my $build = $ENV{GATEPOST_BUILD} || "$top/build";
my $sbin  = "$build/sbin";
plan skip_all => "no $sbin/gatepost" unless -x "$sbin/gatepost" && -x "$sbin/sendmail";
delete @ENV{qw(MAIL_CONFIG GATEPOST_CONFIG)};
$SIG{PIPE} = 'IGNORE'; # a command that fails at once does not read its input

my $dir = tempdir('gatepost-commands.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/$_" for qw(conf queue), map { "queue/$_" } qw(maildrop incoming active deferred hold corrupt pid public private);
my $owner = getpwuid($>);
my @children;
my $main_pid = $$;
END { kill 'TERM', @children if $$ == $main_pid && @children }

sub put {
    my ($name, $text) = @_;
    open my $f, '>', "$dir/conf/$name" or die "$name: $!";
    print $f $text;
    close $f or die "$name: $!";
}

# Runs a command: (exit status, standard output, standard error).
sub run {
    my ($input, @command) = @_;
    my $err = gensym;
    my $pid = open3(my $in, my $out, $err, @command);
    print $in $input;
    close $in;
    my ($o, $e) = map { local $/; my $fh = $_; <$fh> // '' } $out, $err;
    waitpid $pid, 0;
    return ($? >> 8, $o, $e);
}

sub gatepost { return run('', "$sbin/gatepost", '-c', "$dir/conf", @_) }
sub sendmail { my ($message, @args) = @_; return run($message, "$sbin/sendmail", '-C', "$dir/conf", @args) }

my $base = <<"E";
queue_directory = $dir/queue
data_directory = $dir/data
mail_owner = nobody
myhostname = mx.gate.test
alias_maps =
alias_database =
message_size_limit = 2000
E
put('main.cf',   $base);
put('master.cf', "127.0.0.1:2525 inet n - n - - smtpd\n");

subtest 'config' => sub {
    my ($rc, $out) = gatepost('config', 'myhostname', 'smtpd_banner');
    is $rc, 0, 'status';
    is $out, "myhostname = mx.gate.test\nsmtpd_banner = \$myhostname ESMTP \$mail_name\n", 'as written';
    is((gatepost('config', '-x', 'smtpd_banner'))[1], "smtpd_banner = mx.gate.test ESMTP Gatepost\n", '-x expands');
    is((gatepost('config', '-h', 'mydomain'))[1],     "gate.test\n",                                 'computed default');
    like((gatepost('config', '-n'))[1], qr/\Aalias_database =\nalias_maps =\n(?:.*\n)*queue_directory = /, '-n shows what is set, sorted');
    is((run('', "$sbin/postconf", '-c', "$dir/conf", '-d', '-h', 'maximal_queue_lifetime'))[1], "5d\n", 'as postconf');
    ($rc, $out, my $err) = gatepost('config', 'nonesuch');
    ok $rc != 0 && $err =~ /nonesuch: unknown parameter/, 'unknown name';
};

# A server on loopback that answers each connection with these bytes.
sub answering {
    my ($bytes) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "listen: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        while (my $c = $listener->accept) { print $c $bytes; $c->flush; sysread $c, my $request, 100 }
        POSIX::_exit(0);
    }
    push @children, $pid;
    return $listener->sockport;
}

subtest 'check' => sub {
    my ($rc, $out, $err) = gatepost('check');
    is $rc, 0, "a sound configuration: $err";
    put('main.cf', $base . "smtpd_baner = x\n");
    ($rc, $out, $err) = gatepost('check');
    is $rc, 78, 'unknown parameter: EX_CONFIG';
    like $err, qr{main\.cf:8: unknown parameter "smtpd_baner": did you mean "smtpd_banner"\?}, 'with line and nearest name';
    put('main.cf', $base . "transport_maps = hash:/nonexistent/transport\nsmtpd_relay_restrictions = permit\nmynetworks = 10.0.0.1/8\n");
    ($rc, $out, $err) = gatepost('check');
    is $rc, 78, 'three mistakes';
    like $err, qr{main\.cf:8: error: transport_maps: .*/nonexistent/transport}, 'missing table';
    unlike $err, qr/address_verify_transport_maps/, 'told where it is set, not for each default that repeats it';
    like $err, qr{main\.cf:9: error: smtpd_relay_restrictions: open relay}, 'open relay';
    like $err, qr{main\.cf:10: error: mynetworks: non-null host address bits}, 'bad network';
    put('main.cf', $base);
    put('master.cf', "smtp inet n - n - - smtpd\n  -o smtpd_timout=3s\n");
    ($rc, $out, $err) = gatepost('check');
    ok $rc == 78 && $err =~ m{master\.cf:1: service smtp: -o: unknown parameter "smtpd_timout"}, 'bad -o';
    put('main.cf', $base);
    put('master.cf', "x unix - n n - - pipe flgs=F user=daemon argv=/bin/true\n");
    ($rc, $out, $err) = gatepost('check');
    ok $rc == 78 && $err =~ m{error: .*master\.cf:1: service x: .*flgs=F}, "what a daemon says of its row";
    put('master.cf', "127.0.0.1:2525 inet n - n - - smtpd\n");
    put('main.cf', $base . "maillog_file = /nowhere/log\n");
    like +(gatepost('check'))[2], qr{main\.cf:8: error: maillog_file: /nowhere/log is not below one of maillog_file_prefixes}, 'a log where none may be';
    put('main.cf', $base . "maillog_file = $dir/nowhere/log\nmaillog_file_prefixes = $dir\n");
    like +(gatepost('check'))[2], qr{main\.cf:8: error: maillog_file: there is no directory $dir/nowhere: create it}, 'a log in no directory';
  SKIP: {
        skip 'accounts count for root', 2 if $> != 0;
        put('main.cf', $base . "setgid_group = no-such-group\n");
        ($rc, $out, $err) = gatepost('check');
        is $rc, 0, 'without the group of the submission command mail flows';
        like $err, qr{main\.cf:\d+: warning: setgid_group: there is no group "no-such-group": .*groupadd}, 'but not from local users';
    }
    put('main.cf', $base);
};

# Each finding names the file, the line and what to do.
subtest 'check: each kind of mistake' => sub {
    my $at = sub { my ($settings) = @_; put('main.cf', $base . $settings); return (gatepost('check'))[2] };
    my $line = 1 + ($base =~ tr/\n//);
    my $key = "$dir/conf/kind.key";
    system("cd '$dir/conf' && openssl req -x509 -newkey rsa:2048 -nodes -days 100 -subj /CN=mx -keyout kind.key -out kind.crt 2>/dev/null && " .
        "openssl genrsa -out other.key 2048 2>/dev/null && openssl req -new -key kind.key -subj /CN=mx -out kind.csr 2>/dev/null && " .
        "openssl x509 -req -in kind.csr -signkey kind.key -days -1 -out old.crt 2>/dev/null; chmod 600 kind.key other.key");
    my @kinds = (
        [ "trusted_hops = 192.0.2.1\n", qr/warning: trusted_hops: smtpd_end_of_data_restrictions is empty/ ],
        [ "mynetworks = 0.0.0.0/0\n", qr/warning: mynetworks: the whole internet may relay: name your own networks only/ ],
        [ "virtual_alias_domains = mx.gate.test\nmydestination = mx.gate.test\n", qr/warning: virtual_alias_domains: do not list domain mx\.gate\.test in BOTH/ ],
        [ "smtpd_restriction_classes = nix\n", qr/error: smtpd_restriction_classes: there is no parameter "nix": define the class/ ],
        [ "smtpd_client_restrictions = reject, permit_mynetworks\n", qr/warning: smtpd_client_restrictions: "permit_mynetworks" comes after "reject", which always decides/ ],
        [ "smtpd_client_restrictions = permit_mynetworks, reject_unknown_client_hostname, permit_mynetworks\n",
            qr/warning: smtpd_client_restrictions: "permit_mynetworks" is there twice/ ],
        [ "smtpd_client_restrictions = warn_if_reject\n", qr/warning: smtpd_client_restrictions: warn_if_reject at the end is about nothing/ ],
        [ "smtpd_client_restrictions = warn_if_reject permit_mynetworks\n", qr/warning: smtpd_client_restrictions: warn_if_reject before "permit_mynetworks", which rejects nothing/ ],
        [ "smtpd_sender_restrictions = check_recipient_access inline:{x=OK}\nsmtpd_delay_reject = no\n",
            qr/warning: smtpd_sender_restrictions: "check_recipient_access" is asked before RCPT TO has come, as smtpd_delay_reject is off/ ],
        [ "smtpd_data_restrictions = reject_unverified_recipient\n", qr/warning: smtpd_data_restrictions: "reject_unverified_recipient" knows the recipient of mail for one only/ ],
        [ "smtpd_sender_restrictions = reject_invalid_helo_hostname\n", qr/warning: smtpd_sender_restrictions: "reject_invalid_helo_hostname" does not stop clients that say no HELO/ ],
        [ "smtpd_relay_restrictions = permit, reject_unauth_destination\n", qr/error: smtpd_relay_restrictions: open relay: add reject_unauth_destination/ ],
        [ "smtpd_relay_restrictions = warn_if_reject reject_unauth_destination\n", qr/error: smtpd_relay_restrictions: open relay: with warn_if_reject nothing is refused/ ],
        [ "smtpd_relay_restrictions = check_sender_access inline:{x=OK}, reject_unauth_destination\n",
            qr/warning: smtpd_relay_restrictions: an OK of "check_sender_access" lets anybody relay/ ],
        [ "mynetworks = 192.0.0.0/4\n", qr{warning: mynetworks: 192\.0\.0\.0/4 is more than a network of one's own} ],
        [ "milter_default_action = reject\n", qr/warning: milter_default_action: while a filter is away mail is refused for good: tempfail lets it come again/ ],
        [ "smtpd_tls_security_level = may\n", qr/warning: smtpd_tls_security_level: there is no certificate: set smtpd_tls_chain_files/ ],
        [ "smtp_tls_CAfile = /nonexistent\n", qr{error: smtp_tls_CAfile: /nonexistent: No such file} ],
        [ "smtpd_tls_auth_only = maybe\n", qr/smtpd_tls_auth_only = maybe: must be yes or no/ ],
        [ "message_size_limit = 5x\n", qr/message_size_limit = 5x: / ],
        [ "transport_maps = nosuch:/x\n", qr/error: transport_maps: .*nosuch/ ],
        [ "smtpd_milters = /run/x\n", qr{error: smtpd_milters: "/run/x": inet:host:port or unix:path expected} ],
        [ "smtpd_tls_cert_file = $dir/conf/old.crt\nsmtpd_tls_key_file = $key\n", qr/warning: smtpd_tls_cert_file: the certificate in \S+ has expired: renew it/ ],
    );
    for (@kinds) {
        my ($settings, $expected) = @$_;
        like $at->($settings), qr/main\.cf:$line: (?:.*: )?$expected/, $settings =~ s/\n.*//sr;
    }
    chmod 0644, $key;
    like $at->("smtpd_tls_key_file = $key\n"), qr/main\.cf:$line: warning: smtpd_tls_key_file: \S+ can be read by everybody: chmod 600/, 'a key for everybody';
    like $at->("smtpd_tls_cert_file = $dir/conf/kind.crt\nsmtpd_tls_key_file = $dir/conf/other.key\nsmtpd_tls_security_level = may\n"),
        qr/master\.cf:1: service \S+: TLS is not offered: .*key values mismatch/, 'a key of another certificate';
    like $at->("smtpd_sender_restrictions = check_sender_access\n"), qr/master\.cf:1: service \S+: smtpd_sender_restrictions: restriction check_sender_access requires an argument/,
        'a word without its argument';
    chmod 0777, "$dir/queue";
    like $at->(''), qr/main\.cf:\d+: error: queue_directory: \S+ can be written by everybody: chmod o-w/, 'a queue for everybody';
    chmod 0755, "$dir/queue";
    SKIP: {
        skip 'needs root', 2 if $>;
        like $at->("mail_owner = nosuchuser\n"), qr/main\.cf:$line: error: mail_owner: there is no user "nosuchuser": create it/, 'an account that does not exist';
        put('secret', "a x\n");
        chmod 0600, "$dir/conf/secret";
        chmod 0755, $dir, "$dir/conf";
        like $at->("transport_maps = hash:$dir/conf/secret\n"),
            qr/main\.cf:$line: warning: transport_maps: \S+ cannot be read by nobody: what changes in it counts after a reload only; let nobody read it/, 'a table that is not for us';
    }
    put('main.cf', $base);
};

subtest 'check: what is outside' => sub {
    my $milter = answering("\0\0\0\x0dO\0\0\0\6\0\0\0\0\0\0\0\0");
    my $other  = answering("220 mx ESMTP\r\n");
    my $nobody = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;
    my $settings = "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:$nobody, " .
        "reject_foo, permit, reject_bar\nredis_server = inet:127.0.0.1:$nobody\n";
    put('main.cf', $base . "smtpd_milters = inet:127.0.0.1:$milter { inet:127.0.0.1:$other, command_timeout=3s } inet:127.0.0.1:$nobody\n" .
        $settings);
    my ($rc, $out, $err) = gatepost('check');
    is $rc, 0, 'warnings only';
    unlike $err, qr/127\.0\.0\.1:$milter/, 'a milter that answers';
    like $err, qr/main\.cf:8: warning: smtpd_milters: inet:127\.0\.0\.1:$other does not speak the milter protocol/, 'a server that is no milter';
    like $err, qr/main\.cf:8: warning: smtpd_milters: no answer from inet:127\.0\.0\.1:$nobody/, 'no milter';
    like $err, qr/main\.cf:9: warning: smtpd_recipient_restrictions: no answer from inet:127\.0\.0\.1:$nobody/, 'no policy server';
    like $err, qr/main\.cf:9: warning: smtpd_recipient_restrictions: "reject_bar" comes after "permit"/, 'a word that never counts';
    like $err, qr/smtpd_recipient_restrictions: unknown restriction "reject_foo"/, 'an unknown word';
    like $err, qr/main\.cf:10: warning: redis_server: no answer: Redis/, 'no Redis';
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=mx -keyout '$dir/conf/key' -out '$dir/conf/cert' 2>/dev/null");
    put('main.cf', $base . "smtpd_tls_cert_file = $dir/conf/cert\nsmtpd_tls_key_file = $dir/conf/key\nsmtpd_tls_security_level = may\n");
    ($rc, $out, $err) = gatepost('check');
    like $err, qr{main\.cf:8: warning: smtpd_tls_cert_file: the certificate in .*/cert expires in [23] days}, 'a certificate at its end';
    put('main.cf', $base);
};

subtest 'map' => sub {
    put('table', "key value of it\n");
    is_deeply [(gatepost('map', '-q', 'KEY', "hash:$dir/conf/table"))[0, 1]], [0, "value of it\n"], 'found';
    is((gatepost('map', '-q', 'other', "hash:$dir/conf/table"))[0], 1,  'missing');
    is((gatepost('map', '-q', 'x',     'fail:x'))[0],               75, 'failed');
    is((run('', "$sbin/postmap", "$dir/conf/table"))[0], 0, 'postmap FILE has nothing to do');
    is((run("a\nb\n", "$sbin/gatepost", 'map', '-q', '-', 'inline:{ a=1, c=2 }'))[1], "a\t1\n", 'keys from standard input');
};

subtest 'sendmail' => sub {
    my ($rc, $out, $err) = sendmail("To: a\@a.test\nCc: B <b\@b.test>\nBcc: c\@c.test\nSubject: s\n\nbody\n.\nlost\n", '-t', '-f', 'me@s.test', 'd@d.test');
    is $rc, 0, "taken: $err";
    my @files = glob "$dir/queue/maildrop/*";
    is scalar @files, 1, 'one file';
    my ($id) = $files[0] =~ m{([^/]+)\z};
    (undef, $out) = gatepost('cat', $id);
    like $out, qr/^sender: me\@s\.test$/m, 'sender';
    like $out, qr/^recipient: $_$/m, "recipient $_" for 'a@a.test', 'b@b.test', 'c@c.test', 'd@d.test';
    unlike $out, qr/^Bcc:/mi, 'Bcc is gone';
    unlike $out, qr/lost/,    'a dot ends the message';
    (undef, $out) = gatepost('queue', '--json');
    like $out, qr/\A\{"queue_name": "maildrop", "queue_id": "$id", "arrival_time": \d+, "message_size": \d+, "forced_expire": false, "sender": "me\@s\.test", "recipients": \[\{"address": "d\@d\.test"\}, /, 'as JSON';
    (undef, $out) = run('', "$sbin/mailq", '-C', "$dir/conf");
    like $out, qr/\A----Queue ID----- --Size-- ---Arrival Time---- --Sender\/Recipient------\n$id +\d+ \w\w\w \w\w\w [ \d]\d \d\d:\d\d:\d\d me\@s\.test\n {47}d\@d\.test\n/, 'mailq';
    like $out, qr/^-- 0 Kbytes in 1 Request\.$/m, 'its last line';
    unlink @files;
    like((run('', "$sbin/postqueue", '-c', "$dir/conf", '-p'))[1], qr/\AMail queue is empty\n\z/, 'empty queue');

    sendmail("Subject: s\n\none\n.\ntwo\n", '-oi', '-F', 'Full, Name', 'x@x.test');
    @files = glob "$dir/queue/maildrop/*";
    ($id) = ($files[0] // '') =~ m{([^/]+)\z};
    (undef, $out) = gatepost('cat', $id // 'none');
    like $out, qr/^one\n\.\ntwo$/m,                        '-oi: a dot is text';
    like $out, qr/^From: "Full, Name" <\Q$owner\E>$/m,     '-F';
    like $out, qr/^sender: \Q$owner\E$/m,                  'sender is the caller';
    unlink @files;

    my @refused = ([64, 'no recipients', "x\n"], [65, 'none in the header', "Subject: x\n\n", '-t'], [69, 'too big', join('', map { 'x' x 70 . "\n" } 1 .. 50), 'a@a.test'],
        [64, 'control characters', "x\n", '-f', "a\nb", 'a@a.test'], [64, '-bv without recipients', '', '-bv'], [64, '-bv with -t', '', '-bv', '-t'], [64, '-bv with -N', '', '-bv', '-N', 'never', 'a@a.test'],
        [64, '-bp with a recipient', '', '-bp', 'a@a.test'], [64, '-qI without an id', '', '-qI'], [64, '-bz', '', '-bz'], [64, '-bd', '', '-bd']);
    for my $r (@refused) {
        my ($want, $name, $message, @args) = @$r;
        is((sendmail($message, @args))[0], $want, $name);
    }
    is_deeply [glob "$dir/queue/maildrop/*"], [], 'nothing is left behind';
    is((run('', "$sbin/newaliases", '-C', "$dir/conf"))[0], 0, 'newaliases');
};

subtest 'not running' => sub {
    my ($rc, $out, $err) = gatepost('status');
    ok $rc == 1 && $out =~ /\Anot running\n/, 'status';
    ok((gatepost($_))[0] == 1, $_) for qw(stop reload);
    is((gatepost('flush'))[0], 69, 'flush');
    is((run('', "$sbin/gatepost", 'nonsense'))[0], 64, 'unknown verb');
    like((run('', "$sbin/gatepost", '-V'))[1], qr/\Agatepost \d+\.\d+/, '-V');
    is((run('', "$sbin/gatepost", '-c', '/nonexistent', 'check'))[0], 78, 'no configuration');
};

done_testing;
