#!/usr/bin/perl
# t/520-as-postfix.t - final delivery compared with Postfix: the same aliases, .forward files, tables and commands, the same mail; then what the log
# says of each recipient, and every file that came of it (owner, mode, content), side by side.
use strict;
use warnings;
use Gatepost::World;
use Test::More;

plan skip_all => $_ for Gatepost::World->lacks;

my $world = Gatepost::World->new;
my $w = $world->path;
my $aliases = '';

# An alias, and mail to it.
sub alias {
    my ($name, $value, %more) = @_;
    $aliases .= "$name: $value\n";
    return if $more{silent};
    $world->mail((delete $more{to} // $name =~ s/^"(.*)"$/$1/r) . '@local.test', %more);
}

# What differs on purpose: what we do, and why.
sub odd { my ($what, $name, $value, $ours, $why, %more) = @_; $what->($name, $value, ours => $ours, why => $why, %more) }

# A user with a .forward file, and mail to him.
sub forward {
    my ($name, $text, %more) = @_;
    $world->user($name, '.forward' => $more{file} ? [ $text, @{ $more{file} } ] : $text);
    $world->mail((delete $more{to} // $name) . '@local.test', %more);
}

$world->file('open/', '', 0777);
$world->file('mail/', '', 01777);
$world->user($_) for qw(ann bob cec dan eve);

# ---- aliases: grammar ----
alias('a-user',      'ann');
alias('a-two',       'ann, bob');
alias('a-space',     'ann bob');
alias('a-commas',    ',, ann,,bob ,');
alias('a-upper',     'ANN');
alias('A-Mixed',     'bob', to => 'a-mIXED');
alias('a-continued', "ann,\n  bob,\n\tcec");
alias('a-comment',   'ann (the one), bob (a (nested) comment)');
alias('a-angle',     'Ann Other <ann>, "Bob, Jr." <bob@local.test>');
alias('a-quoted',    '"ann"');
alias('a-bs',        '\\ann');
alias('a-route',     '<@relay.test:ann@local.test>');
alias('a-hash',      'ann # not a comment');
alias('"a spaced"',  'ann', to => '"a spaced"');
alias('"a@sign"',    'ann', to => '"a@sign"');
alias('"a:colon"',   'ann', to => '"a:colon"');
alias('7777',        'ann');
alias('a-missing',   'nobody-at-all');
alias('a-part',      'ann, nobody-at-all, bob');
alias('a-remote',    'x@relay.test');
alias('a-remotes',   'x@relay.test, y@relay.test, ann');
alias('a-group',     'friends: ann, bob;');
alias('a-semi',      'ann; bob');
alias('a-long',      join ', ', map { "u$_\@relay.test" } 1 .. 4);

# ---- files and commands ----
alias('f-file',      "$w/open/f-file");
alias('f-quoted',    "\"$w/open/f quoted\"");
alias('f-spaced',    "$w/open/f spaced");
alias('f-dir',       "$w/open/f-dir/");
alias('f-null',      '/dev/null');
alias('f-hard',      "$w/open/f-hard");
alias('f-open',      "$w/open/f-open");
$world->file('open/f-open', "old\n", 0666, 'ann');
alias('f-unended',   "$w/open/f-unended");
$world->file('open/f-unended', 'no newline', 0666, 'ann');
alias('c-plain',     "|/bin/true");
alias('c-bar',       "| /bin/true");
alias('c-quoted',    "\"|cat >$w/open/c-quoted\"");
alias('c-inner',     "|\"cat >$w/open/c-inner\"");
alias('c-comma',     "\"|echo a,b >$w/open/c-comma; cat >/dev/null\"");
alias('c-escapes',   "\"|echo \\\"a  b\\\" >$w/open/c-escapes; cat >/dev/null\"");
alias('c-paren',     "\"|(echo sub) >$w/open/c-paren; cat >/dev/null\"");
alias('c-env',       "\"|env | grep -v '^_=' | sort >$w/open/c-env; cat >/dev/null\"", to => 'c-env+Ext+More');
alias('c-envq',      "\"|env | grep -v '^_=' | sort >$w/open/c-envq; cat >/dev/null\"", to => 'c-envq', from => '"a b; rm"@client.test');
alias('c-envn',      "\"|env | grep -v '^_=' | sort >$w/open/c-envn; cat >/dev/null\"", to => 'c-envn', from => '');
alias('c-id',        "\"|id >$w/open/c-id; umask >>$w/open/c-id; cat >/dev/null\"");
alias('c-shell-missing', '"|no-such-program; exit 127"');
alias('c-noread',    '"|exit 0"', body => "Subject: x\n\n" . "line\n" x 50000);
alias('c-output',    '"|echo some output; echo and more; exit 0"');
alias('c-error',     '"|echo it failed; exit 1"');
alias('c-dsn',       '"|echo 5.7.1 go away; exit 75"');
alias('c-dsn4',      '"|echo 4.2.2 full; exit 69"');
alias('c-signal',    '"|kill -9 $$"');
alias("c-exit$_",    "\"|echo out; exit $_\"") for 1, 64 .. 79, 99, 126, 127, 255;
alias('c-dup',       "\"|echo x >>$w/open/c-dup\", \"|echo x >>$w/open/c-dup\", ann, ann, ann\@local.test, $w/open/c-dupf, $w/open/c-dupf");

# ---- nesting, loops, owners ----
alias('n-one',       'n-two');
alias('n-two',       'n-three, ann', silent => 1);
alias('n-three',     'ann, bob', silent => 1);
alias('n-self',      'n-self');
alias('dan',         'dan, bob');
alias('cec',         "\\cec, $w/open/cec");
alias('l-list',      'ann, x@relay.test');
alias('owner-l-list', 'bob', silent => 1);
$world->mail('owner-l-list@local.test');
alias('l-request',   'ann', silent => 1);
alias('l-outer',     'l-list, y@relay.test');
alias('owner-l-outer', 'cec@relay.test', silent => 1);
alias('l-mid',       'l-list, y@relay.test');
alias('l-fail',      'nobody-at-all');
alias('owner-l-fail', 'zed', silent => 1);
alias('e-ext',       'x@relay.test, bob', to => 'e-ext+more');
alias('e-own+ext',   'ann', silent => 1);
alias('e-own',       'bob', silent => 1);
$world->mail("e-own+$_\@local.test") for qw(ext other);

# ---- include ----
$world->file('etc/plain', "# comment\nann, bob\n\neve\n");
alias('i-plain',     ":include:$w/etc/plain");
alias('i-quoted',    "\":include:$w/etc/plain\"");
alias('i-space',     ": include:$w/etc/plain");
alias('i-upper',     ":INCLUDE:$w/etc/plain");
alias('i-missing',   ":include:$w/etc/missing");
alias('i-relative',  ':include:etc/plain');
$world->file('etc/empty', '');
$world->file('etc/group', "ann\n", 0664);
alias('i-group',     ":include:$w/etc/group");
$world->file('etc/world', "ann\n", 0666);
alias('i-world',     ":include:$w/etc/world");
$world->file('etc/secret', "ann\n", 0600);
alias('i-secret',    ":include:$w/etc/secret");
$world->file('etc/anns', "bob\n", 0600, 'ann');
alias('i-anns',      ":include:$w/etc/anns");
$world->file('etc/link', \"plain");
alias('i-link',      ":include:$w/etc/link");
$world->file('etc/command', "\"|cat >$w/open/i-command\"\n");
$world->file('etc/file', "$w/open/i-file\n");
alias('i-command',   ":include:$w/etc/command");
alias('i-file',      ":include:$w/etc/file");
$world->file('etc/nested', ":include:$w/etc/plain\n");
alias('i-nested',    ":include:$w/etc/nested");
$world->file('etc/loop', ":include:$w/etc/loop\nann\n");
alias('i-loop',      ":include:$w/etc/loop");
$world->file('etc/continued', "ann,\n bob\n eve\n");
alias('i-continued', ":include:$w/etc/continued");
$world->file('etc/dir/', '');
alias('i-dir',       ":include:$w/etc/dir");
$world->file('etc/nonl', 'ann');
alias('i-nonl',      ":include:$w/etc/nonl");
$world->file('etc/crlf', "ann\r\nbob\r\n");
alias('i-crlf',      ":include:$w/etc/crlf");
$world->file('etc/remote', "x\@relay.test\ny\@relay.test\n");
alias('i-ext',       ":include:$w/etc/remote", to => 'i-ext+more');

# ---- .forward ----
forward('w-plain',   "bob\n");
forward('w-self',    "w-self\n");
forward('w-bs',      "\\w-bs, bob\n");
forward('w-empty',   '');
forward('w-comment', "# only a comment\n");
forward('w-blank',   "\n\n");
forward('w-file',    "$w/open/w-file\n");
forward('w-home',    "~/box\n");
forward('w-command', "\"|cat >$w/open/w-command; id >>$w/open/w-command\"\n");
forward('w-env',     "\"|env | grep -v '^_=' | sort >$w/open/w-env; cat >/dev/null\"\n", to => 'w-env+x');
forward('w-include', ":include:$w/home/w-include/list\n");
$world->file('home/w-include/list', "bob\n$w/open/w-include\n", 0644, 'w-include');
forward('w-remote',  "x\@relay.test\n", to => 'w-remote+more');
forward('w-world',   "bob\n", file => [ 0666 ]);
forward('w-group',   "bob\n", file => [ 0664 ]);
forward('w-exec',    "bob\n", file => [ 0755 ]);
forward('w-root',    "bob\n", file => [ 0644, 'root' ]);
forward('w-theirs',  "bob\n", file => [ 0644, 'ann' ]);
forward('w-secret',  "bob\n", file => [ 0000 ]);
forward('w-rootsec', "bob\n", file => [ 0600, 'root' ]);
forward('w-loop1',   "w-loop2\n");
forward('w-loop2',   "w-loop1\n");
forward('w-missing', "nobody-at-all\n");
forward('w-part',    "nobody-at-all, w-part, bob\n");
forward('w-nonl',    'bob');
forward('w-lines',   "bob\neve\n");
forward('w-continued', "bob,\n  eve\n");
forward('w-link',    \'other');
$world->file('home/w-link/other', "bob\n", 0644, 'w-link');
forward('w-badlink', \'missing');
$world->user('w-dir', '.forward/' => '');
$world->mail('w-dir@local.test');
$world->user('w-ext', '.forward+one' => "bob\n", '.forward' => "eve\n");
$world->mail("w-ext$_\@local.test") for '', '+one', '+two';
forward('w-keep',    "x\@relay.test\n", to => 'w-keep+home'); # a word of the path, too
$world->user('w-hole', 'notes' => "\"|touch $w/open/w-hole\"\n", '.forward' => "x\@relay.test\n");
$world->mail("$_\@local.test") for "\"w-hole+x,$w/home/w-hole/notes\"", '"w-hole+a,b"', 'w-hole+/../notes', 'bob+a/b', 'e-ext+a/b';
forward('w-big',     "bob\n" . "# filler\n" x 2000);
forward('w-dupl',    "bob, bob\nbob\@local.test\n");
forward('w-fail',    "\"|echo no; exit 67\"\n");
forward('w-nohome',  "bob\n");
$world->user('w-exthome', '.forward' => "\\w-exthome\n");
$world->mail('w-exthome+foo@local.test');

# ---- names ----
$world->mail($_) for 'nobody-at-all@local.test', 'Ann@local.test', 'bob+ext@local.test', '"quoted name"@local.test', 'bob+@local.test', '+bob@local.test', 'postmaster@local.test', 'mailer-daemon@local.test', 'double-bounce@local.test';
$world->mail('../../etc/passwd@local.test');
$world->mail('root@local.test');
$world->mail('bob@local.test', body => "Delivered-To: bob\@local.test\n\nx\n");
$world->mail('bob@local.test', from => '', body => "From: x\@client.test\n\nx\n");
$world->mail([ 'bob@local.test', 'cec@local.test' ]);

# ---- services with other settings ----
my (@services, @transports);
sub service {
    my ($name, %settings) = @_;
    my $options = join ' ', map { my $v = $settings{$_}; "-o {$_=$v}" } sort keys %settings;
    push @services, "$name unix - n n - - local $options\n";
    push @transports, "$name.test $name:\n";
}
sub service_mail { my ($name, $to, %more) = @_; $world->mail("$to\@$name.test", %more) }

service('homebox', home_mailbox => 'Mailbox');
service('homedir', home_mailbox => 'Maildir/');
service('spooldir', mail_spool_directory => "$w/maildirs/");
$world->file('maildirs/', '', 01777);
service('command', mailbox_command => "/bin/sh -c 'env | grep -v ^_= | sort >$w/open/mbc.\$USER; pwd >>$w/open/mbc.\$USER; cat >>$w/open/mbc.\$USER'");
service('commandx', mailbox_command => "echo \$USER \$EXTENSION \$HOME >$w/open/mbx.\$USER", command_execution_directory => '$home');
service('commandd', mailbox_command => "pwd >$w/open/mbd", command_execution_directory => '/no/such/directory');
service('shell', mailbox_command => "echo shell >$w/open/shell", local_command_shell => '/bin/sh -c');
service('commandm', mailbox_command => "echo general >$w/open/mcm.\$USER", mailbox_command_maps => "inline:{ {bob=echo of bob \$USER+\$EXTENSION >$w/open/mcm.bob} }");
service('commandf', mailbox_command => "env | grep -v '^_=' | sort >$w/open/mcf.\$USER; cat >/dev/null", command_expansion_filter => 'abcdefghijklmnopqrstuvwxyz@.');
service('forwardf', forward_path => "$w/forward/\$user-\$extension", forward_expansion_filter => 'abcdef');
$world->file('forward/b_b-e__e_', "ann\n", 0644, 'bob');
service('commande', mailbox_command => "pwd >$w/open/mce.\$USER", command_execution_directory => "$w/dirs/\$user-\$extension", execution_directory_expansion_filter => 'abcdef');
$world->file('dirs/b_b-e__e_/', '', 0755, 'bob');
service('locks', mailbox_delivery_lock => 'dotlock', deliver_lock_attempts => '2', deliver_lock_delay => '1s', stale_lock_time => '1s', mail_spool_directory => "$w/locks");
$world->file('locks/', '', 01777);
$world->file('locks/bob.lock', '', 0600, 'bob');
service('trans', mailbox_transport => 'discard:handed over');
service('transm', mailbox_transport_maps => 'inline:{bob=discard:mapped}');
service('fall', fallback_transport => 'discard:fallback');
service('fallm', fallback_transport_maps => 'inline:{who=discard:mapped}');
service('luser', luser_relay => '$user+$extension@relay.test');
service('luser2', luser_relay => 'ann');
service('luser3', luser_relay => '$local.${extension?x}.$domain@relay.test');
service('noext', propagate_unmatched_extensions => '');
service('noorig', enable_original_recipient => 'no');
service('nodeliv', prepend_delivered_header => 'forward');
service('loopy', frozen_delivered_to => 'no');
service('xowner', expand_owner_alias => 'yes');
service('rowner', reset_owner_alias => 'yes');
service('allow', allow_mail_to_commands => 'alias, forward, include', allow_mail_to_files => 'alias,forward,include');
service('deny', allow_mail_to_commands => '', allow_mail_to_files => '');
service('path', forward_path => "$w/forward/\$user.\$domain\${extension?-\$extension}");
$world->file('forward/bob.path.test', "ann\n", 0644, 'bob');
$world->file('forward/bob.path.test-x', "cec\n", 0644, 'bob');
service('flock', mailbox_delivery_lock => 'flock');
service('nomail', mail_spool_directory => "$w/no/such/spool");
service('closed', mail_spool_directory => "$w/closed");
$world->file('closed/', '', 0755);
service('strict', mail_spool_directory => "$w/strict");
$world->file('strict/', '', 01777);
$world->file('strict/bob', "old\n", 0666, 'ann');
service('unstrict', mail_spool_directory => "$w/strict", strict_mailbox_ownership => 'no');
service_mail('luser', "\"|touch $w/open/hole\"");
service('linked', mail_spool_directory => "$w/linked");
$world->file('linked/', '', 01777);
$world->file('linked/bob', \"$w/linked/target");
$world->file('linked/target', '', 0660, 'bob');
$world->file('open/f-link', \"f-linked");
$world->file('open/f-linked', '', 0600, 'nobody');
odd(\&alias, 'o-link2', "$w/open/f-link", qr/is a symbolic link/, 'root made it, but anybody might have');
service_mail('linked', 'bob', ours => qr/4\.2\.0, status=deferred.*is a symbolic link/, why => 'the same');
service('moved', mail_spool_directory => "$w/moved");
$world->file('moved/', '', 0755);
$world->file('moved/bob', \"$w/linked/target");
service_mail('moved', 'bob');
$world->file('linked/ann', "", 0660, 'ann');
service('small', mail_spool_directory => "$w/small", mailbox_size_limit => '10000', message_size_limit => '9000');
$world->file('small/', '', 01777);
service('require', require_home_directory => 'yes');
service_mail($_, 'bob') for qw(homebox homedir spooldir command commandx shell trans transm fall fallm noorig nodeliv path flock closed strict unstrict require);
service_mail($_, 'who+ext') for qw(trans transm fall fallm luser luser2 luser3);
service_mail('commandm', $_) for qw(bob+ext ann);
service_mail('commandf', 'bob+Ext', from => '"O; rm"@client.test');
service_mail($_, 'bob+exteX') for qw(forwardf commande);
service_mail('locks', 'bob');
service_mail('command', 'bob+ext', from => 'o\'brien@client.test');
service_mail('commandx', 'bob+ext');
service_mail('fallm', 'nobody-at-all');
service_mail('noext', 'e-ext+more');
service_mail('noext', 'w-remote+more');
service_mail($_, 'l-list') for qw(xowner rowner);
service_mail($_, 'l-mid') for qw(xowner rowner);
service_mail($_, 'l-outer') for qw(xowner rowner);
service_mail('allow', $_) for qw(i-command i-file);
service_mail('deny', $_) for qw(f-file c-plain w-file w-command);
service_mail('path', 'bob+x');
service_mail('linked', 'ann');
service_mail('loopy', $_) for qw(a-two n-one w-plain f-file);
service_mail('nodeliv', $_) for qw(f-file c-quoted a-remote);
service('whole', forward_path => "$w/forward/\$user/\$extension, $w/forward/\$user/default");
$world->file('forward/bob/default', "ann\n", 0644, 'bob');
service_mail('whole', $_) for qw(bob bob+none);
service_mail('luser', $_) for qw(bob postmaster);


# ---- different on purpose: what we do, and why ----
$world->user('zed');
odd(\&alias, 'o-null',    '<>',                     qr/sent \(discarded/,              'there is no address in it');
odd(\&alias, 'o-at',      'zed@',                   qr/5\.1\.3.*bad address/,          'found out where it is sent in again');
odd(\&alias, 'o-quote',   '"zed',                   qr/4\.3\.5, status=deferred/,      'a broken alias waits for its repair');
odd(\&alias, 'o-nodir',   "$w/nowhere/file",        qr/4\.2\.0, status=deferred/,      'so does a file that cannot be written');
odd(\&alias, 'o-isdir',   "$w/open",                qr/4\.2\.0, status=deferred/,      'the same');
odd(\&alias, 'o-link',    "$w/open/o-link",         qr/is a symbolic link/,            'the same');
odd(\&alias, 'o-theirs',  "$w/open/o-theirs",       qr/4\.2\.0, status=deferred.*Permission denied/, 'the same');
odd(\&alias, 'o-bare',    "|cat >$w/open/o-bare",   qr/sent \(delivered to command: cat >/, 'a command without quotes goes up to the comma');
odd(\&alias, 'o-paren',   "|(cat) >$w/open/o-paren", qr/sent \(delivered to command: \(cat\)/, 'the same');
odd(\&alias, 'o-missing', '|/no/such/program',      qr/4\.3\.0, status=deferred.*cannot execute/, 'in our words');
odd(\&alias, 'o-dsn2',    '"|echo 2.0.0 fine; exit 69"', qr/5\.3\.0, status=bounced \(service unavailable/, 'no code of success for a failure');
odd(\&alias, 'o-empty',   '|',                      qr/sent \(discarded/,              'no command, nothing to run');
odd(\&alias, 'o-loop',    'o-loop2',                qr/5\.4\.6, status=bounced \(alias database loop for o-loop\)/, 'found one step earlier');
alias('o-loop2',          'o-loop', silent => 1);
odd(\&alias, 'o-include', ":include:$w/etc/empty",  qr/sent \(discarded/,              'what is dropped is logged');
odd(\&alias, 'o-list',    'zed, x@relay.test',      qr/from=<>\n.*to=<x\@relay/,       'a notification keeps its null sender: no bounce of a bounce', from => '');
alias('owner-o-list',     'zed', silent => 1);
odd(\&forward, 'o-unended', "\"unclosed\nzed\n",    qr/sent \(delivered to mailbox\)/, 'a broken .forward file is not obeyed in part');
$world->file('open/o-link', \"o-linked");
$world->file('open/o-theirs', "old\n", 0644, 'zed');
service('o-dir', mailbox_command => 'pwd', command_execution_directory => '/no/such/directory');
service('o-spool', mail_spool_directory => "$w/no/such/spool");
service('o-small', mail_spool_directory => "$w/o-small", mailbox_size_limit => '10000', message_size_limit => '9000');
$world->file('o-small/', '', 01777);
service_mail('o-dir', 'zed', ours => qr/4\.3\.0, status=deferred \(cannot start/, why => 'in our words');
service_mail('o-spool', 'zed', ours => qr/4\.2\.0, status=deferred/, why => 'a missing spool directory is our own trouble');
$world->file('o-small/zed', 'x' x 9900 . "\n", 0600, 'zed');
service_mail('o-small', 'zed', ours => qr/4\.2\.2, status=deferred .*File too large/, why => 'a full mailbox waits');

# ---- pipe ----
$world->file('tmp/', '', 0777);
$world->file('bin/save', "#!/bin/sh\nout=\$1; shift\n{ for a; do echo \"[\$a]\"; done; cat; echo END; } >\"$w/tmp/\$out.\$\$\"\ncat \"$w/tmp/\$out.\$\$\" >>\"$w/open/\$out\"\nrm \"$w/tmp/\$out.\$\$\"\n", 0755);
$world->file('bin/exit', "#!/bin/sh\ncat >/dev/null; echo \"\$2\" >&2; exit \$1\n", 0755);
my %pipe_main;

# A pipe service; mail to recipients of it, in one message.
sub pipe_service {
    my ($name, $options, $argv, @recipients) = @_;
    push @services, "$name unix - n n - - pipe $options user=ann argv=$argv\n";
    push @transports, "$name.test $name:\n";
    $world->mail([ map { "$_\@$name.test" } @recipients ]) if @recipients;
}
my $odd_body = "Subject: x\nFrom: x\@client.test\nDelivered-To: other\@client.test\n\nFrom me\n.\n..\n>From you\n.x\n";

for my $flag (qw(B D F O R X h q u . > DFORX BF.> hqu)) {
    my $name = 'p-' . ($flag =~ s/\./dot/r =~ s/>/from/r);
    pipe_service($name, "flags=$flag", "$w/bin/save $name \${recipient} \${original_recipient} \${sender} \${user} \${extension} \${mailbox} \${domain} \${nexthop}");
    $pipe_main{"${name}_destination_recipient_limit"} = 1;
    service_mail($name, 'Joe+Ext', body => $odd_body);
    service_mail($name, '"Joe Doe"', from => '"a b"@Client.test');
    service_mail($name, 'joe', from => '', body => $odd_body);
}
pipe_service('p-all', '', "$w/bin/save p-all -f \${sender} \$sender \$(sender) a\${sender}b \$\$x \${client_address} \${client_helo} \${client_hostname} \${client_protocol} {two words} { three of them } \${sasl_username} <\${sasl_method}>", 'joe');
pipe_service('p-many', '', "$w/bin/save p-many -- \${user} \${recipient} x-\${mailbox}-\${extension} \${domain}", 'a', 'b+x', '"c d"', 'e');
pipe_service('p-one', '', "$w/bin/save p-one \${recipient}", 'a', 'b');
$pipe_main{'p-one_destination_recipient_limit'} = 1;
pipe_service('p-null', 'null_sender=', "$w/bin/save p-null -f \${sender} --");
pipe_service('p-nullx', 'flags=FRq null_sender=x@null.test', "$w/bin/save p-nullx -f \${sender} --");
service_mail($_, 'joe', from => '', body => $odd_body) for qw(p-null p-nullx);
pipe_service('p-eol', 'flags=FR. eol=\r\n', "$w/bin/save p-eol", 'joe');
pipe_service('p-eol2', 'eol=\a\b\f\v\t\101\\\\\012', "$w/bin/save p-eol2", 'joe');
pipe_service('p-dir', "directory=$w/open", '/bin/sh -c {pwd >p-dir; cat >>p-dir}', 'joe');
pipe_service('p-nodir', 'directory=/no/such', '/bin/true');
pipe_service('p-chroot', 'chroot=/ directory=/tmp', "/bin/sh -c {pwd >$w/open/p-chroot; cat >/dev/null}", 'joe');
pipe_service('p-env', '', "/bin/sh -c {env | grep -v ^_= | sort >$w/open/p-env; id >>$w/open/p-env; umask >>$w/open/p-env; cat >/dev/null}", 'joe');
pipe_service('p-size', 'size=500', "$w/bin/save p-size", 'joe');
service_mail('p-size', 'large', body => "Subject: x\n\n" . "0123456789\n" x 60, ours => qr/5\.2\.3, status=bounced \(message size \d+ exceeds/, why => 'in our words');
pipe_service("p-x$_", '', "$w/bin/exit $_ {words of it}", 'joe') for 1, 64 .. 78, 99;
pipe_service('p-dsn', '', "$w/bin/exit 75 {5.7.1 go away}", 'joe');
pipe_service('p-dsn4', '', "$w/bin/exit 69 {4.7.1 come back}", 'joe');
pipe_service('p-silent', '', '/bin/sh -c {exit 67}', 'joe');
pipe_service('p-out', '', '/bin/sh -c {cat >/dev/null; echo one; echo two >&2}', 'joe');
pipe_service('p-long', '', '/bin/sh -c {cat >/dev/null; yes "a long line of words" | head -200; exit 65}');
pipe_service('p-signal', '', '/bin/sh -c {kill -9 $$$$}', 'joe');
pipe_service('p-slow', '', '/bin/sh -c {echo waiting; exec sleep 100}', 'joe');
$pipe_main{'p-slow_time_limit'} = '1s';
pipe_service('p-loop', 'flags=D', "$w/bin/save p-loop");
$pipe_main{'p-loop_destination_recipient_limit'} = 1;
service_mail('p-loop', 'joe', body => "Delivered-To: Joe\@p-loop.test\n\nx\n");
pipe_service('p-utf', 'flags=u', "$w/bin/save p-utf \${recipient}", 'joe');
pipe_service('p-user', 'flags=R', "$w/bin/save p-user \$user \$nosuch");

# ---- virtual ----
$world->file('virtual/', '', 0777);
my %boxes = (
    'dir@v.test' => 'dir/', 'box@v.test' => 'box', 'deep@v.test' => 'a/b/c/', 'ext@v.test' => 'ext/', 'ext+own@v.test' => 'ext-own/', '@w.test' => 'w-all/', 'lower@v.test' => 'lower/',
    'nouid@v.test' => 'nouid/', 'nogid@v.test' => 'nogid/', 'low@v.test' => 'low/', 'text@v.test' => 'text/', 'zero@v.test' => 'zero/', 'theirs@v.test' => 'theirs', 'isdir@v.test' => 'isdir', 'o-nodir@v.test' => 'o-missing/x/box',
);
my %uids = ('nogid@v.test' => 3001, 'low@v.test' => 50, 'text@v.test' => 'ann', 'zero@v.test' => 0, map { $_ => 3001 } grep { !/^(?:nouid|low|text|zero)@/ } keys %boxes);
my %gids = ('nouid@v.test' => 3001, map { $_ => 3002 } grep { !/^nogid@/ } keys %boxes);
$world->file('virtual/theirs', "old\n", 0666, 'bob');
$world->file('virtual/isdir/', '', 0777);
push @services, "vtight unix - n n - - virtual -o virtual_mailbox_limit=9000 -o message_size_limit=8000 -o virtual_uid_maps=static:3001 -o virtual_gid_maps=static:3001\n";
push @services, "vnoorig unix - n n - - virtual -o enable_original_recipient=no -o virtual_mailbox_maps=static:noorig -o virtual_uid_maps=static:3001 -o virtual_gid_maps=static:3001\n";
push @transports, map { "$_.test $_:\n" } qw(vtight vnoorig);
$boxes{'o-full@vtight.test'} = 'o-full';
$world->mail($_) for (map { "$_\@v.test" } qw(dir dir+x box box deep ext+own ext+other Lower LOWER unknown nouid nogid low text zero)), 'any@w.test', 'any+x@w.test', 'x@vnoorig.test';
$world->mail([ 'dir@v.test', 'box@v.test', 'unknown@v.test' ]);
$world->mail('box@v.test', from => '', body => "From: x\@client.test\n\nFrom y\n");
$world->file('virtual/o-full', 'x' x 8900 . "\n", 0600, 'ann');
$world->mail('o-full@vtight.test', ours => qr/4\.2\.2, status=deferred .*File too large/, why => 'a full mailbox waits');
$world->mail('o-nodir@v.test', ours => qr/4\.2\.0, status=deferred/, why => 'a directory that is missing is our own trouble');
$world->mail('theirs@v.test', ours => qr/4\.2\.0, status=deferred .*is not owned by recipient/, why => 'in our words');
$world->mail('isdir@v.test', ours => qr/4\.2\.0, status=deferred/, why => 'the same');

@$world{qw(main_cf master_cf tables)} = (
    {
        mydestination => 'local.test', myorigin => 'local.test', mynetworks => '127.0.0.0/8', alias_maps => 'hash:$config_directory/aliases', mail_name => 'MTA',
        recipient_delimiter => '+', mail_spool_directory => "$w/mail", default_transport => 'discard:', relay_transport => 'discard:', relay_domains => '',
        transport_maps => 'hash:$config_directory/transport', smtpd_relay_restrictions => 'permit_mynetworks, reject_unauth_destination', smtpd_reject_unlisted_recipient => 'no', notify_classes => '',
        minimal_backoff_time => '300s', maximal_backoff_time => '300s', queue_run_delay => '300s', transport_retry_time => '300s', propagate_unmatched_extensions => 'canonical, virtual, alias, forward, include',
        smtpd_client_connection_count_limit => '0', smtpd_error_sleep_time => 0, export_environment => 'TZ MAIL_CONFIG LANG', local_destination_concurrency_limit => 1,
        virtual_mailbox_domains => 'v.test, w.test', virtual_mailbox_base => "$w/virtual", virtual_mailbox_maps => 'hash:$config_directory/boxes', virtual_uid_maps => 'hash:$config_directory/uids', virtual_gid_maps => 'hash:$config_directory/gids', %pipe_main,
    },
    join('', @services),
    { aliases => $aliases, boxes => join('', map { "$_ $boxes{$_}\n" } sort keys %boxes), uids => join('', map { "$_ $uids{$_}\n" } sort keys %uids), gids => join('', map { "$_ $gids{$_}\n" } sort keys %gids), transport => join '', @transports },
);

my ($postfix, $gatepost) = $world->both;
ok $_->[1]{settled}, "$_->[0]: every message has been dealt with" for [ Postfix => $postfix ], [ Gatepost => $gatepost ];

sub side_by_side {
    my ($theirs, $ours) = @_;
    my %t = map { $_ => 1 } split /\n/, $theirs;
    my %o = map { $_ => 1 } split /\n/, $ours;
    my $text = join '', map({ "  Postfix:  $_\n" } grep { !$o{$_} } split /\n/, $theirs), map { "  Gatepost: $_\n" } grep { !$t{$_} } split /\n/, $ours;
    return $text || "in another order\nPostfix:\n$theirs\nGatepost:\n$ours";
}

for my $i (0 .. $#{ $world->{mail} }) {
    my ($theirs, $ours) = map { $_->{mail}[$i] // '' } $postfix, $gatepost;
    my $m = $world->{mail}[$i];
    if ($m->{ours}) {
        like($ours, $m->{ours}, "@{ $m->{to} }: $m->{why}");
        next;
    }
    ok $ours eq $theirs, "@{ $m->{to} }" or diag side_by_side($theirs, $ours);
}
my %paths = map { $_ => 1 } keys %{ $postfix->{files} }, keys %{ $gatepost->{files} };
for my $path (grep { !m{/o-} && !m{^mail/(?:zed|o-)} && !m{^o-} } sort keys %paths) {
    my ($theirs, $ours) = map { $_->{files}{$path} // "none\n" } $postfix, $gatepost;
    ok $ours eq $theirs, "file $path" or diag side_by_side($theirs, $ours);
}
done_testing;
