#!/usr/bin/perl
# t/510-local.t - final delivery through the whole system: local, virtual, pipe, error, discard.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $root = $> == 0;
my ($user, $other) = $root ? grep { defined getpwnam $_ } qw(games man news uucp lp backup list) : getpwuid $>;
plan skip_all => 'no system user to deliver to' unless defined $user;

my $dir = tempdir('gatepost-boxes.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/$_" for qw(forward spool virtual open);
mkdir "$dir/closed", 0755;
chmod 0777, "$dir/spool", "$dir/open";
my @vmail = $root ? (2000, 2000) : ($>, $) + 0);
chown @vmail, "$dir/virtual" if $root;

# UUCP as Postfix's master.cf has it, with a spool of our own.
my $uux = $root && -x '/usr/bin/uux' && getpwnam('uucp') ? "$dir/uucp" : undef;
if ($uux) {
    mkdir $uux;
    spew("$uux/config", "nodename gate\n" . join '', map { "$_ $uux/spool\n" } qw(spool lockdir pubdir));
    spew("$uux/config", slurp("$uux/config") . "logfile $uux/log\nstatfile $uux/statistics\nsysfile $uux/systems\n");
    spew("$uux/systems", "system neighbour\ntime any\n");
    chown +(getpwnam 'uucp')[2, 3], $uux;
}

my $aliases = <<"EOT";
postmaster: $user
box:     $dir/open/box/
mbox:    $dir/open/mbox
cmd:     "|cat >$dir/open/cmd; echo \$RECIPIENT \$EXTENSION \$USER\$HOME >$dir/open/env"
bar:     |"cat >$dir/open/bar; echo took it"
two:     box, mbox
deep:    two, nobody-at-all
$user:   \\$user, $dir/open/copy
loop:    loop2
loop2:   loop
away:    someone\@virtual.test
plus:    someone\@relay.test
many:    one\@relay.test, two\@relay.test
toerror: a\@bad.test
toretry: a\@wait.test
list:    :include:$dir/members
owner-list: $user
hidden:  :include:$dir/commands
EOT
spew("$dir/members",  "# the list\none\@virtual.test, two\@virtual.test\n");
spew("$dir/commands", "|cat >$dir/open/never\n");
my $boxes = "one\@virtual.test one/\ntwo\@virtual.test two\nsomeone\@virtual.test some/one/\nbad\@virtual.test ../../bad\nfull\@virtual.test full\n";
my $transport = <<'EOT';
cat.test  cat:
uu.test   uucp:neighbour
closed.test closed:
end.test  end:
fail.test fail:
bad.test  error:5.7.1 not with us
gone.test discard:nobody cares
wait.test retry:4.7.9 come back later
EOT

my $sink = Gatepost::Sink->new;
my $mta  = Gatepost::Test->new(
    sink      => $sink->port,
    files     => { aliases => $aliases, boxes => $boxes, transport => $transport },
    master_cf => <<"EOT",
closed  unix - n n - - local -o mail_spool_directory=$dir/closed -o alias_maps=
cat     unix - n n - - pipe flags=DRuq. user=$user argv=/bin/sh -c { cat >$dir/open/\$\$1; echo "took \$\$2" } sh \${user} \${recipient}
end     unix - n n - - pipe flags=X user=$user argv=/bin/sh -c { cat >/dev/null } sh
fail    unix - n n - - pipe user=$user argv=/bin/sh -c { echo "no such thing"; exit 67 } sh
uucp    unix - n n - - pipe flags=Fqhu user=uucp argv=uux -I $dir/uucp/config -r -n -z -a\$sender - \$nexthop!rmail (\$recipient)
EOT
    main_cf => {
        mydestination        => 'local.test, origin.test',
        myorigin             => 'origin.test',
        mynetworks           => '127.0.0.0/8',
        alias_maps           => 'hash:aliases',
        recipient_delimiter  => '+',
        mail_spool_directory => "$dir/spool",
        forward_path         => "$dir/forward/\$user\${recipient_delimiter}\${extension}, $dir/forward/\$user",
        virtual_mailbox_domains => 'virtual.test',
        virtual_mailbox_base => "$dir/virtual",
        virtual_mailbox_maps => 'hash:boxes',
        virtual_uid_maps     => "static:$vmail[0]",
        virtual_gid_maps     => "static:$vmail[1]",
        virtual_minimum_uid  => 1,
        virtual_mailbox_limit => 10000,
        message_size_limit   => 9000,
        transport_maps       => 'hash:transport',
        relay_domains        => 'closed.test, cat.test, end.test, fail.test, bad.test, gone.test, wait.test, relay.test',
        notify_classes       => '',
        minimal_backoff_time => '300s',
        maximal_backoff_time => '300s',
        propagate_unmatched_extensions => 'canonical, virtual, alias, forward',
        local_delivery_status_filter   => 'inline:{ {5.1.1 unknown user: "renamed" = 4.1.1 moves today}, {2.0.0 nothing = 5.0.0 no} }',
        pipe_delivery_status_filter    => 'inline:{ {5.1.1 user unknown. Command output: no such thing = 5.1.6 gone away} }',
        virtual_delivery_status_filter => 'inline:{ {2.0.0 delivered to mailbox = 2.1.5 in the box} }',
    },
)->start;

# The log line of a delivery, waited for. Reading starts where the last message began.
my $from = 0;

sub delivered {
    my ($pattern) = @_;
    my $line = wait_for(sub {
        my ($found) = grep { /$pattern/ } split /\n/, substr($mta->log, $from);
        $found;
    });
    return $line // '';
}

# to, what the log says of it
sub check {
    my ($to, $pattern, $name, %o) = @_;
    $from = length $mta->log;
    my $reply = $mta->smtp->mail($o{from} // 'sender@client.test', $to, $o{body} // "Subject: hello\n\nFrom here\n.dot\n");
    like($reply, qr/^250/, "$name: taken") or return;
    my $line = delivered($pattern);
    ok($line ne '', "$name: " . ($line =~ /status=(.*)/ ? $1 : "nothing like $pattern")) or diag(substr($mta->log, $from));
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
is(slurp("$dir/open/env"), "cmd+ext\@local.test ext cmd\n", 'environment: of the recipient, and nobody\'s home');
is((stat "$dir/open/cmd")[4], $root ? (getpwnam 'nobody')[2] : $>, 'runs as default_privs, or as ourselves');
check('bar@local.test', qr/status=sent \(delivered to command: cat >\Q$dir\E\/open\/bar; echo took it\)/, 'command with quotes behind the bar');
like(slurp("$dir/open/bar"), qr/^From here$/m, 'ran');

check('deep@local.test', qr/to=<nobody-at-all\@origin\.test>, orig_to=<deep\@local\.test>, relay=local, .*dsn=5\.1\.1, status=bounced \(unknown user: "nobody-at-all"\)/, 'nested aliases');
delivered(qr/status=sent \(delivered to file/);
is(scalar(() = slurp("$dir/open/mbox") =~ /^From /mg), 2, 'the others of the list got it once');

check("$user\@local.test", qr/status=sent \(delivered to mailbox\)/, 'mailbox of a user whose alias names himself');
ok(delivered(qr/delivered to file: \Q$dir\E\/open\/copy/), 'and the copy');
like(slurp("$dir/spool/$user"), qr/\AFrom sender.*\n\n\z/s, 'spool file');
is((stat "$dir/spool/$user")[4], (getpwnam $user)[2], 'belongs to the user');

check('loop@local.test', qr/dsn=5\.4\.6, status=bounced \(alias database loop for loop\)/, 'aliases in a circle end');
check('nobody-here@local.test', qr/dsn=5\.1\.1, status=bounced \(unknown user: "nobody-here"\)/, 'unknown user');
check('renamed@local.test', qr/dsn=4\.1\.1, status=deferred \(moves today\)/, 'delivery status filter of local');
check('hidden@local.test', qr/dsn=5\.7\.1, status=bounced \(mail to command is restricted\)/, 'no commands in include files');
ok(!-e "$dir/open/never", 'was not run');

check('away@local.test', qr/status=sent \(forwarded as \w+\)/, 'alias to another domain');
ok(delivered(qr/to=<someone\@virtual\.test>, orig_to=<away\@local\.test>, relay=virtual, .*status=sent \(delivered to maildir\)/), 'arrives there');
like(first_of("$dir/virtual/some/one"), qr/^Delivered-To: away\@local\.test$/m, 'with the trace of the alias');
check('plus+more@local.test', qr/to=<someone\+more\@relay\.test>, orig_to=<plus\+more\@local\.test>/, 'the extension goes along');

check('list@local.test', qr/status=sent \(forwarded as \w+\)/, 'list with an owner');
ok(delivered(qr/from=<owner-list\@origin\.test>/), 'the owner is the sender of what goes out');
ok(delivered(qr/to=<two\@virtual\.test>, relay=virtual.*status=sent \(in the box\)/), 'virtual mbox; the list is not the member\'s original recipient');

check('box@local.test', qr/dsn=5\.4\.6, status=bounced \(mail forwarding loop for box\@local\.test\)/, 'Delivered-To', body => "Delivered-To: box\@local.test\n\nx\n");

# ---- .forward: of a user without an alias ----
SKIP: {
    skip 'only root can deliver to two users', 18 unless $root && defined $other;
    spew("$dir/forward/$other", "\\$other, box\@local.test\n");
    chown +(getpwnam $other)[2, 3], "$dir/forward/$other";
    check("$other\@local.test", qr/to=<\Q$other\E\@local\.test>.*status=sent \(delivered to mailbox\)/, 'forward file');
    ok(delivered(qr/to=<box\@local\.test>, orig_to=<\Q$other\E\@local\.test>.*delivered to maildir/), 'the other target');
    spew("$dir/forward/$other", "someone\@relay.test\n");
    check("$other+here\@local.test", qr/to=<someone\+here\@relay\.test>/, 'forward file and an extension');
    spew("$dir/forward/$other+own", "someone\@relay.test\n");
    chown +(getpwnam $other)[2, 3], "$dir/forward/$other+own";
    check("$other+own\@local.test", qr/to=<someone\@relay\.test>/, 'forward file of an extension');
    spew("$dir/notes", "someone\@virtual.test\n");
    check("\"$other+x,$dir/notes\"\@local.test", qr/to=<someone\@relay\.test>/, 'an extension names no file of its own');
    check("\"$other+,/../../notes\"\@local.test", qr/to=<someone\@relay\.test>/, 'nor leads out of a directory');
    like($mta->log, qr/warning: address with illegal extension: \Q$other+x,$dir\E/i, 'and is told of');
    chmod 0666, "$dir/forward/$other";
    check("$other\@local.test", qr/to=<\Q$other\E\@local\.test>.*status=sent \(delivered to mailbox\)/, 'forward file everyone may write to');
}

SKIP: {
    skip 'only root makes spool directories for others', 4 unless $root;
    check("$user\@closed.test", qr/to=<\Q$user\E\@closed\.test>.*status=sent \(delivered to mailbox\)/, 'spool directory that only root may write to');
    my @st = stat "$dir/closed/$user";
    is("@st[4, 5] " . ($st[2] & 0777), join(' ', (getpwnam $user)[2, 3]) . ' ' . 0600, 'made for the user');
    check("$user\@closed.test", qr/to=<\Q$user\E\@closed\.test>.*status=sent \(delivered to mailbox\)/, 'again');
}

# ---- virtual ----
check('one@virtual.test', qr/to=<one\@virtual\.test>, relay=virtual, .*status=sent \(delivered to maildir\)/, 'virtual Maildir');
is((stat "$dir/virtual/one/new")[4], $vmail[0], 'owner') if $root;
check('bad@virtual.test', qr/dsn=4\.3\.5, status=deferred \(mail system configuration error\)/, 'a path that leads out');
my $long = join '', ('y' x 70 . "\n") x 100;
check('full@virtual.test', qr/to=<full\@virtual\.test>.*dsn=2\.1\.5/, 'a mailbox with room', body => $long);
check('full@virtual.test', qr/to=<full\@virtual\.test>.*dsn=4\.2\.2, status=deferred \(cannot update mailbox .*File too large/, 'a full mailbox waits', body => $long);

# ---- pipe, error, retry, discard ----
check('Joe.X@cat.test', qr/relay=cat, .*dsn=2\.0\.0, status=sent \(delivered via cat service \(took joe\.x\@cat\.test\)\)/, 'pipe');
like(slurp("$dir/open/joe.x"), qr/\AReturn-Path: <sender\@client\.test>\nDelivered-To: joe\.x\@cat\.test\n.*\nFrom here\n\.\.dot\n\z/s, 'its input');
check('a@fail.test', qr/relay=fail, .*dsn=5\.1\.6, status=bounced \(gone away\)/, 'exit status, filtered');
check('toerror@local.test', qr/to=<a\@bad\.test>.*relay=none, .*dsn=5\.7\.1, status=bounced \(not with us\)/, 'error');
check('a@gone.test', qr/relay=none, .*dsn=2\.0\.0, status=sent \(nobody cares\)/, 'discard');
check('toretry@local.test', qr/to=<a\@wait\.test>.*relay=none, .*dsn=4\.7\.9, status=deferred \(come back later\)/, 'retry');

SKIP: {
    skip 'no UUCP, or not root', 4 unless $uux;
    check('Joe.X@UU.test', qr/relay=uucp, .*dsn=2\.0\.0, status=sent \(delivered via uucp service\)/, 'UUCP');
    my ($job) = glob "$uux/spool/neighbour/C./C.*";
    my ($data) = glob "$uux/spool/neighbour/D./D.*";
    like slurp($job // '/dev/null'), qr/ sender\@client\.test \d+ rmail joe\.x\@uu\.test$/m, 'a job for the neighbour\'s rmail';
    like slurp($data // '/dev/null'), qr/\AFrom sender\@client\.test  \w{3} \w{3} .*\n(?:.*\n)*\nFrom here\n/, 'and the message, with a From line';
}

# ---- notifications of success: what became of it ----
sub success {
    my ($to, $action, $name) = @_;
    my $c = $mta->smtp;
    (my $sender = $name) =~ tr/ ,/-/d;
    my @replies = map { $c->say($_) } "MAIL FROM:<$sender\@client.test> RET=HDRS", "RCPT TO:<$to> NOTIFY=SUCCESS", 'DATA';
    like($c->send_raw("Subject: $name\r\n\r\nx\r\n.\r\n")->reply, qr/^250/, "$name: taken") or diag(@replies);
    my $got = $sink->wait_message(qr/Subject: Successful Mail Delivery Report.*Final-Recipient: rfc822; \Q$to\E.*Subject: \Q$name\E/s);
    like($got ? $got->{content} : '', qr/^Final-Recipient: rfc822; \Q$to\E\r?\n(?:Original-Recipient.*\n)?Action: $action\r?\nStatus: 2/m, "$name: $action");
}
success('box@local.test',  'delivered', 'Maildir');
success('a@cat.test',      'relayed',   'a command that only passes on');
success('a@end.test',      'delivered', 'a command that is the end');
success('many@local.test', 'expanded',  'an alias for two');
success('list@local.test', 'delivered', 'a list');

$mta->stop;
done_testing;
