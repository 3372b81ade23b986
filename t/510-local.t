#!/usr/bin/perl
# t/510-local.t - final delivery through the whole system: local, virtual, pipe, error, discard.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $top    = dirname(dirname(abs_path(__FILE__)));
my $build  = abs_path($ENV{GATEPOST_BUILD} || "$top/build") || '';
my $master = "$build/libexec/gatepost/master";
for my $need (qw(master smtpd cleanup qmgr trivial-rewrite bounce policyd local virtual pipe error discard)) {
    plan skip_all => "no $need in $build" unless -x "$build/libexec/gatepost/$need";
}

my $root = $> == 0;
my ($owner) = grep { defined getpwnam $_ } qw(postfix gatepost mail);
my ($user)  = $root ? grep { defined getpwnam $_ } qw(games man news uucp) : getpwuid $>;
plan skip_all => 'no system user to deliver to' unless defined $user && defined $owner;

my $dir = tempdir('gatepost-local.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $main_pid = $$;
chmod 0755, $dir;
mkdir "$dir/$_" for qw(conf forward spool virtual open);
chmod 0777, "$dir/spool", "$dir/open";
my @vmail = $root ? (2000, 2000) : ($>, $) + 0);
chown @vmail, "$dir/virtual" if $root;

sub spew {
    my ($name, $text, $mode) = @_;
    open my $f, '>', "$dir/$name" or die "$dir/$name: $!";
    print $f $text;
    close $f or die "$dir/$name: $!";
    chmod $mode // 0644, "$dir/$name";
}

sub slurp {
    open my $f, '<', $_[0] or return '';
    local $/;
    return <$f> // '';
}

sub wait_for {
    my ($what) = @_;
    my $end = time + 15;
    while (time < $end) {
        my $got = $what->();
        return $got if $got;
        sleep 0.05;
    }
    return;
}

my $port = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;

spew('conf/main.cf', <<"EOT");
mail_owner = $owner
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file = $dir/log
maillog_file_prefixes = $dir
myhostname = mx.local.test
myorigin = local.test
mydestination = local.test
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
alias_maps = hash:$dir/aliases
local_recipient_maps =
recipient_delimiter = +
mail_spool_directory = $dir/spool
mailbox_command_maps = inline:{ uucp=false }
forward_path = $dir/forward/\$user
virtual_mailbox_domains = virtual.test
virtual_mailbox_base = $dir/virtual
virtual_mailbox_maps = hash:$dir/boxes
virtual_uid_maps = static:$vmail[0]
virtual_gid_maps = static:$vmail[1]
transport_maps = hash:$dir/transport
relay_domains = cat.test, fail.test, bad.test, gone.test, wait.test
in_flow_delay = 0
notify_classes =
biff = no
EOT
spew('conf/master.cf', <<"EOT");
127.0.0.1:$port inet n - n - - smtpd
pickup  unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr    unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce  unix - - n - 0 bounce
error   unix - - n - - error
retry   unix - - n - - error
discard unix - - n - - discard
local   unix - n n - - local
virtual unix - n n - - virtual
cat     unix - n n - - pipe flags=DRuq. user=$user argv=/bin/sh -c { cat >$dir/open/\$\$1; echo "took \$\$2" } sh \${user} \${recipient}
fail    unix - n n - - pipe user=$user argv=/bin/sh -c { echo "no such thing"; exit 67 } sh
EOT
spew('aliases', <<"EOT");
postmaster: $user
box:     $dir/open/box/
mbox:    $dir/open/mbox
cmd:     "|cat >$dir/open/cmd; echo \$RECIPIENT \$EXTENSION >$dir/open/env"
two:     box, mbox
deep:    two, nobody-at-all
$user:   \\$user, $dir/open/copy
loop:    loop2
loop2:   loop
away:    someone\@virtual.test
toerror: a\@bad.test
toretry: a\@wait.test
list:    :include:$dir/members
owner-list: $user
hidden:  :include:$dir/commands
EOT
spew('members',   "# the list\none\@virtual.test, two\@virtual.test\n");
spew('commands',  "|cat >$dir/open/never\n");
spew('boxes',     "one\@virtual.test one/\ntwo\@virtual.test two\nsomeone\@virtual.test some/one/\nbad\@virtual.test ../../bad\n");
spew('transport', <<'EOT');
cat.test  cat:
fail.test fail:
bad.test  error:5.7.1 not with us
gone.test discard:nobody cares
wait.test retry:4.7.9 come back later
EOT

sub start {
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', "$dir/out";
        open STDERR, '>&', \*STDOUT;
        exec $master, '-d', '-c', "$dir/conf";
        exit 1;
    }
    return $pid;
}

my $pid = start();
END {
    if (defined $main_pid && $$ == $main_pid && $pid) {
        local $?;
        kill 'TERM', $pid;
        waitpid $pid, 0;
    }
}
wait_for(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) })
    or BAIL_OUT('does not start: ' . slurp("$dir/out") . slurp("$dir/log"));

# Sends one message; returns the reply to the content.
sub message {
    my ($rcpt, %o) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10) or return 'no connection';
    my $body = $o{body} // "Subject: hello\r\n\r\nFrom here\r\n..dot\r\n";
    my $reply = <$s> // '';
    for my $line ('HELO client.test', 'MAIL FROM:<' . ($o{from} // 'sender@client.test') . '>', "RCPT TO:<$rcpt>", 'DATA', "$body.") {
        print $s "$line\r\n";
        $reply = <$s> // '';
        return $reply if $reply !~ /^[23]/;
    }
    print $s "QUIT\r\n";
    return $reply;
}

# The log line of a delivery, waited for. Reading starts where the last message began.
my $from = 0;

sub delivered {
    my ($pattern) = @_;
    my $line = wait_for(sub {
        my ($found) = grep { /$pattern/ } split /\n/, substr(slurp("$dir/log"), $from);
        $found;
    });
    return $line // '';
}

# to, what the log says of it
sub check {
    my ($to, $pattern, $name, %o) = @_;
    $from = -s "$dir/log";
    my $reply = message($to, %o);
    like($reply, qr/^250/, "$name: taken") or return;
    my $line = delivered($pattern);
    ok($line ne '', "$name: " . ($line =~ /status=(.*)/ ? $1 : "nothing like $pattern")) or diag(substr(slurp("$dir/log"), $from));
}

sub first_of {
    my ($file) = glob "$_[0]/new/*";
    return defined $file ? slurp($file) : '';
}

# ---- local ----
check('box@local.test', qr/to=<box\@local\.test>, relay=local, .*dsn=2\.0\.0, status=sent \(delivered to maildir\)/, 'Maildir of an alias');
my $text = first_of("$dir/open/box");
like($text, qr/\AReturn-Path: <sender\@client\.test>\nX-Original-To: box\@local\.test\nDelivered-To: box\@local\.test\nReceived: /, 'front lines');
like($text, qr/\n\nFrom here\n\.dot\n\z/, 'content: LF, nothing quoted in a Maildir');

check('mbox@local.test', qr/status=sent \(delivered to file: \Q$dir\E\/open\/mbox\)/, 'file of an alias');
like(slurp("$dir/open/mbox"), qr/\AFrom sender\@client\.test  \w{3} \w{3} .*\n>From here\n\.dot\n\n\z/s, 'mbox form');

check('cmd+ext@local.test', qr/status=sent \(delivered to command: cat >/, 'command of an alias');
is(slurp("$dir/open/env"), "cmd+ext\@local.test ext\n", 'environment');
is((stat "$dir/open/cmd")[4], $root ? (getpwnam 'nobody')[2] : $>, 'runs as default_privs, or as ourselves');

check('deep@local.test', qr/to=<nobody-at-all\@local\.test>, orig_to=<deep\@local\.test>, relay=local, .*dsn=5\.1\.1, status=bounced \(unknown user: "nobody-at-all"\)/, 'nested aliases');
delivered(qr/status=sent \(delivered to file/);
is(scalar(() = slurp("$dir/open/mbox") =~ /^From /mg), 2, 'the others of the list got it once');

check("$user\@local.test", qr/status=sent \(delivered to mailbox\)/, 'mailbox of a user whose alias names himself');
ok(delivered(qr/delivered to file: \Q$dir\E\/open\/copy/), 'and the copy');
like(slurp("$dir/spool/$user"), qr/\AFrom sender.*\n\n\z/s, 'spool file');
is((stat "$dir/spool/$user")[4], (getpwnam $user)[2], 'belongs to the user');

check('loop@local.test', qr/status=(?:bounced \(unknown user|sent \(discarded)/, 'aliases in a circle end');
check('nobody-here@local.test', qr/dsn=5\.1\.1, status=bounced \(unknown user: "nobody-here"\)/, 'unknown user');
check('hidden@local.test', qr/dsn=5\.7\.1, status=bounced \(mail to command is restricted\)/, 'no commands in include files');
ok(!-e "$dir/open/never", 'was not run');

check('away@local.test', qr/status=sent \(forwarded as \w+\)/, 'alias to another domain');
ok(delivered(qr/to=<someone\@virtual\.test>, orig_to=<away\@local\.test>, relay=virtual, .*status=sent \(delivered to maildir\)/), 'arrives there');
like(first_of("$dir/virtual/some/one"), qr/^Delivered-To: away\@local\.test$/m, 'with the trace of the alias');

check('list@local.test', qr/status=sent \(forwarded as \w+\)/, 'list with an owner');
ok(delivered(qr/from=<owner-list\@local\.test>/), 'the owner is the sender of what goes out');
ok(delivered(qr/to=<two\@virtual\.test>.*status=sent \(delivered to mailbox\)/), 'virtual mbox');

check('box@local.test', qr/dsn=5\.4\.6, status=bounced \(mail forwarding loop for box\@local\.test\)/, 'Delivered-To',
    body => "Delivered-To: box\@local.test\r\n\r\nx\r\n");

# ---- .forward: of a user without an alias ----
my ($other) = $root ? grep { defined getpwnam $_ } qw(lp backup list) : ();
SKIP: {
    skip 'only root can deliver to two users', 4 unless defined $other;
    spew("forward/$other", "\\$other, box\@local.test\n");
    chown +(getpwnam $other)[2, 3], "$dir/forward/$other";
    check("$other\@local.test", qr/to=<\Q$other\E\@local\.test>.*status=sent \(delivered to mailbox\)/, 'forward file');
    ok(delivered(qr/to=<box\@local\.test>, orig_to=<\Q$other\E\@local\.test>.*delivered to maildir/), 'the other target');
    chmod 0666, "$dir/forward/$other";
    check("$other\@local.test", qr/to=<\Q$other\E\@local\.test>.*status=sent \(delivered to mailbox\)/, 'forward file everyone may write to');
}

# ---- virtual ----
check('one@virtual.test', qr/to=<one\@virtual\.test>, relay=virtual, .*status=sent \(delivered to maildir\)/, 'virtual Maildir');
is((stat "$dir/virtual/one/new")[4], $vmail[0], 'owner') if $root;
check('bad@virtual.test', qr/dsn=4\.3\.5, status=deferred \(mail system configuration error\)/, 'a path that leads out');

# ---- pipe, error, retry, discard ----
check('Joe.X@cat.test', qr/relay=cat, .*dsn=2\.0\.0, status=sent \(delivered via cat service \(took joe\.x\@cat\.test\)\)/, 'pipe');
like(slurp("$dir/open/joe.x"), qr/\AReturn-Path: <sender\@client\.test>\nDelivered-To: joe\.x\@cat\.test\n.*\nFrom here\n\.\.dot\n\z/s, 'its input');
check('a@fail.test', qr/relay=fail, .*dsn=5\.1\.1, status=bounced \(user unknown\. Command output: no such thing\)/, 'exit status');
check('toerror@local.test', qr/to=<a\@bad\.test>.*relay=none, .*dsn=5\.7\.1, status=bounced \(not with us\)/, 'error');
check('a@gone.test', qr/relay=none, .*dsn=2\.0\.0, status=sent \(nobody cares\)/, 'discard');
check('toretry@local.test', qr/to=<a\@wait\.test>.*relay=none, .*dsn=4\.7\.9, status=deferred \(come back later\)/, 'retry');

unlike(slurp("$dir/log"), qr/(?:panic|fatal|Sanitizer)/, 'nothing died');
done_testing();
