#!/usr/bin/perl
# t/600-map.t - gatepost map and alias, postmap, postalias and newaliases: asking, listing, making, changing; and the same questions asked of
# Postfix's postmap.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp);
use POSIX ();
use Test::More;

my $top  = dirname(dirname(abs_path(__FILE__)));
my $sbin = abs_path($ENV{GATEPOST_BUILD} || "$top/build") . '/sbin';
plan skip_all => "no $sbin/gatepost" unless -x "$sbin/gatepost";
delete @ENV{qw(MAIL_CONFIG GATEPOST_CONFIG)};
my $dir = tempdir('gatepost-map.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/conf";
chdir $dir or die "$dir: $!";

sub put {
    my ($name, $text) = @_;
    open my $f, '>', $name or die "$name: $!";
    print $f $text;
    close $f or die "$name: $!";
}

# (exit status, standard output, standard error)
sub run {
    my ($input, @command) = @_;
    put('input', $input);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<', 'input'  or POSIX::_exit(126);
        open STDOUT, '>', 'output' or POSIX::_exit(126);
        open STDERR, '>', 'errors' or POSIX::_exit(126);
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($? >> 8, slurp('output'), slurp('errors'));
}

sub postmap   { my ($input, @a) = @_; return run($input, "$sbin/postmap",   '-c', 'conf', @a) }
sub postalias { my ($input, @a) = @_; return run($input, "$sbin/postalias", '-c', 'conf', @a) }
sub mode { return sprintf '%o', (stat $_[0])[2] & 0777 }

put('conf/main.cf', "compatibility_level = 3.6\nmail_owner = nobody\nalias_maps =\nalias_database = lmdb:$dir/aliases, cdb:$dir/more\n");
put('conf/master.cf', '');
my $source = "# c\nKey  value one\n  more\nkey again\nbroken\n\"a b\"\@C.d quoted\nfoo: bar\nk\xe9y no text\n\xc3\x9cber x\n";

for my $type (qw(lmdb cdb)) {
    subtest "making $type" => sub {
        put('t', $source);
        chmod 0640, 't';
        my ($status, $out, $err) = postmap('', "$type:t");
        is $status, 0, 'made';
        is $out, '', 'silently';
        like $err, qr/t:4: duplicate entry: "key", ignoring this line/, 'a second line for a key';
        like $err, qr/t:5: "key value" expected, ignoring this line/, 'a line that is none';
        like $err, qr/t:7: .*is this an alias file\?/, 'a look of aliases';
        like $err, qr/t:8: not UTF-8 \(-u takes it\), ignoring this line/, 'odd bytes';
        is mode("t.$type"), '640', 'mode of the source';
        is_deeply [(postmap('', '-q', 'KEY', "$type:t"))[0, 1]], [0, "value one  more\n"], 'asked';
        is((postmap('', '-q', '"a B"@c.d', "$type:t"))[1], "quoted\n", 'quotes stay');
        is((postmap('', '-q', "\xc3\xbcBER", "$type:t"))[1], "x\n", 'folding beyond ASCII');
        is_deeply [(postmap('', '-q', 'other', "$type:t"))[0, 1]], [1, ''], 'missing';
        is((postmap('', '-f', '-q', 'KEY', "$type:t"))[0], 1, '-f: as it is written');
        is_deeply [(postmap("key\nnone\n KEY \n\n", '-q', '-', "$type:t"))[0, 1]], [0, "key\tvalue one  more\n"], 'keys from standard input';
        is_deeply [(postmap("none\n", '-q', '-', "$type:t"))[0, 1]], [1, ''], 'none of them there';
        is join('', sort split /^/, (postmap('', '-s', "$type:t"))[1]),
            "\"a b\"\@c.d\tquoted\nfoo:\tbar\nkey\tvalue one  more\n\xc3\xbcber\tx\n", 'listed';
        is((postmap('', '-d', 'Key', "$type:t"))[0], 0, 'taken out');
        is((postmap('', '-d', 'key', "$type:t"))[0], 1, 'not there any more');
        is((postmap("foo:\nnone\n", '-d', '-', "$type:t"))[0], 0, 'keys to take out from standard input');
        is mode("t.$type"), '640', 'the mode stays';
        ($status, undef, $err) = postmap("new 1\n\"a b\"\@c.d 2\n", '-i', "$type:t");
        like "$status $err", qr/^0 .*standard input:2: duplicate entry: ""a b"\@c\.d"/, 'added to';
        is((postmap("NEW 3\nmore 4\n", '-i', '-w', "$type:t"))[2], '', '-w: without complaint');
        is((postmap('', '-q', 'new', "$type:t"))[1], "1\n", '... nor effect');
        is((postmap("new 5\n", '-i', '-r', "$type:t"))[2], '', '-r: without complaint');
        is((postmap('', '-q', 'new', "$type:t"))[1], "5\n", '... and replaced');
        is join('', sort split /^/, (postmap('', '-s', "$type:t"))[1]), "\"a b\"\@c.d\tquoted\nmore\t4\nnew\t5\n\xc3\xbcber\tx\n", 'all of it';
        unlink "t.$type";
        is((postmap('', '-p', "$type:t"))[0], 0, '-p');
        is mode("t.$type"), '644', '... has the usual mode';
        for my $nul ('-N', '-n') {
            is((postmap('', $nul, "$type:t"))[0], 0, $nul);
            is((postmap('', '-q', 'key', "$type:t"))[1], "value one  more\n", '... is read as well');
        }
        is((postmap('', '-f', '-u', "$type:t"))[0], 0, '-f -u');
        is((postmap('', '-f', '-q', 'Key', "$type:t"))[1], "value one  more\n", '... with upper case');
        is((postmap('', '-f', '-q', "k\xe9y", "$type:t"))[1], "no text\n", '... and any bytes');
        is_deeply [glob 't*'], ['t', "t.$type"], 'nothing else is left';
        unlink "t.$type";
    };
}

subtest 'what goes wrong' => sub {
    put('t', "a b\n");
    for my $case (
        [['lmdb:nofile'], qr/open nofile: No such file/], [['-q', 'a', 'lmdb:nofile'], qr/nofile\.lmdb.*No such file/],
        [['-d', 'a', 'cdb:nofile'], qr/nofile\.cdb: No such file/], [['-q', 'a', '-s', 'lmdb:t'], qr/only one of/],
        [['nosuch:t'], qr/unknown table type "nosuch"/], [['-q', 'a', 'fail:x'], qr/this table always fails/], [[], qr/which table/],
        [['-s', 'regexp:t'], qr/regexp:t/], [['-i', 'hash:t'], qr/is its text file: edit that/], [['-d', 'a', 'texthash:t'], qr/edit that/],
        [['-h', 'regexp:t'], qr/-b and -h need -q -/], [['lmdb:' . 'nodir/t'], qr/No such file/],
    ) {
        my ($status, undef, $err) = postmap("x y\n", @{ $case->[0] });
        like "$status $err", qr/^1 .*$case->[1]/s, "postmap @{ $case->[0] }";
    }
    is((run('', "$sbin/gatepost", 'map', '-q', 'a', 'fail:x'))[0], 75, 'under its own name failing is not missing');
    put('files', "x nothere\n");
    like((postmap('', '-F', 'cdb:files'))[2], qr/files:1: .*nothere.*No such file/, '-F: a file that is not there');
    ok !-e 'files.cdb', '... makes nothing';
};

subtest 'values in files' => sub {
    put('one', "first\n");
    put('two', "second\x00\xff\n");
    put('files', "x one, two\n");
    is((postmap('', '-F', 'cdb:files'))[0], 0, 'made');
    is((postmap('', '-q', 'x', 'cdb:files'))[1], "Zmlyc3QKCnNlY29uZAD/Cg==\n", 'as base64');
    is((postmap('', '-F', '-q', 'x', 'cdb:files'))[1], "first\n\nsecond\x00\xff\n\n", 'asked with -F');
};

subtest 'aliases' => sub {
    put('aliases', "Postmaster: root\n\"a b\": x\nlist: :include:/x,\n  |\"/bin/y\"\nbroken\n");
    put('more', "other: one\n");
    my ($status, $out, $err) = postalias('', 'lmdb:aliases');
    like "$status $err", qr/^0 .*aliases:5: "name: value" expected/, 'made';
    is((postalias('', '-q', 'POSTMASTER', 'lmdb:aliases'))[1], "root\n", 'asked');
    is((postalias("a b\n", '-q', '-', 'lmdb:aliases'))[1], "a b:\tx\n", 'listed with a colon');
    unlink 'aliases.lmdb';
    is((run('', "$sbin/newaliases", '-C', 'conf'))[0], 0, 'newaliases');
    is((postmap('', '-q', 'list', 'lmdb:aliases'))[1], ":include:/x,  |\"/bin/y\"\n", '... makes one');
    is((postmap('', '-q', 'other', 'cdb:more'))[1], "one\n", '... and the other');
    unlink 'more';
    isnt((run('', "$sbin/sendmail", '-C', 'conf', '-bi'))[0], 0, 'sendmail -bi tells when it cannot');
    put('conf/main.cf', "alias_maps =\nalias_database =\n");
    is((run('', "$sbin/sendmail", '-I', '-C', 'conf'))[0], 0, 'without any nothing is to do');
};

subtest 'messages' => sub {
    my $message = "Subject: one\n two\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nX: part\n\nfirst\n\nsecond\n--b\n"
        . "Content-Type: message/rfc822\n\nSubject: inner\n\nthird\n--b--\n";
    my $all = 'regexp:{{/^(.*)$/m got}}';
    my $keys = sub { return join '|', map { /^(.+)\tgot$/s ? $1 : () } split /(?<=got)\n/, (postmap($message, @_, '-q', '-', $all))[1] };
    is $keys->('-h'), "Subject: one\n two|Content-Type: multipart/mixed; boundary=b", '-h: the header';
    is $keys->('-hm'), "Subject: one\n two|Content-Type: multipart/mixed; boundary=b|Content-Type: text/plain|X: part|Content-Type: message/rfc822|Subject: inner",
        '-hm: all headers';
    is $keys->('-bm'), '--b|first|second|--b|third|--b--', '-bm: lines of bodies';
};

SKIP: {
    skip 'root alone can give files away', 1 if $> != 0;
    subtest 'rights' => sub {
        my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
        mkdir 'his';
        put('his/t', "a b\n");
        put('t', "a b\n");
        chown $uid, $gid, 'his', 'his/t', 't';
        is((postmap('', 'cdb:his/t'))[0], 0, 'made');
        is((stat 'his/t.cdb')[4], $uid, 'with the rights of the owner of the source');
        is((postmap("c d\n", '-i', 'cdb:his/t'))[0], 0, 'added to');
        unlink 'his/t.cdb';
        is((postmap('', '-o', 'cdb:his/t'))[0], 0, '-o');
        is((stat 'his/t.cdb')[4], 0, '... keeps those of root');
        like((postmap('', 'cdb:t'))[2], qr/Permission denied/, 'who may not write there gets nothing written there');
        is((postmap('', 'cdb:t', 'cdb:his/t'))[0], 1, 'and the first failure ends it');
    };
}

# ---- Postfix's own answers ----

sub theirs { my ($input, @a) = @_; return run($input, 'postmap', '-c', 'theirs', @a) }

SKIP: {
    skip 'no postmap of Postfix', 1 unless grep { -x "$_/postmap" } split /:/, $ENV{PATH};
    mkdir 'theirs';
    put('theirs/main.cf', "compatibility_level = 3.6\nqueue_directory = $dir\nmaillog_file =\n");
    put('theirs/master.cf', '');
    my (undef, $types) = run('', 'postconf', '-c', 'theirs', '-m');
    subtest "Postfix's answers" => sub {
        srand 7;
        my @words = ('a' .. 'e', "A", "\xc3\xa4", "\xc3\x84", "\xce\xa3", '1', '10', '"q r"', '"s\\"t"', '-', '.', '..', '+x', '$', '\\', '%');
        my $word = sub { return join '', map { $words[rand @words] } 1 .. 1 + rand 3 };
        my @keys = map { my $w = $word->(); $_ % 3 ? $w : "$w\@" . $word->() . '.test' } 1 .. 3000;
        push @keys, map { join '.', map { int rand 256 } 1 .. 4 } 1 .. 1000;
        push @keys, map { sprintf '2001:db8:%x::%x', rand 4, rand 65536 } 1 .. 300;
        push @keys, 'not.an.ip', '1.2.3', '::', '::1', '010.1.2.3', 'MAIL_CONFIG', 'TZ', 'PATH', 'HOME', 'Case', 'cAsE', 'two words';
        my @good = grep { !/ / || /"/ } @keys;
        put('plain', join '', map { "$good[rand @good]  value $_\n" } 1 .. 2000);
        put('cidr', join '', map { my $bits = int rand 33; my $ip = int(rand 2**32) >> (32 - $bits) << (32 - $bits) if $bits; $ip //= 0;
            my $net = join('.', unpack 'C4', pack 'N', $ip); my $r = "$net/$bits net $_\n";
            $_ % 9 == 0 ? "if $net/$bits\n!10.0.0.0/9 inner $_\nendif\n" : $_ % 5 == 0 ? "!$r" : $bits < 5 && $_ < 90 ? '' : $r } 1 .. 100);
        put('rules', <<'RULES');
/^case$/ insensitive
/^Case$/i sensitive
if /@/
/^(a+)(b)?@/  ab ${1}-$(2)-$1$$
!/\.test$/ no test
if !/^[a-c]/
/^([a-z])(.*)@(.*)$/ $2 at $3 from $1
endif
endif
/^\./ dots
/(1|10)\.[0-9]+$/ number $1
/two words/ words
/^-/	REJECT  with   blanks
/\$/ dollar $$ sign
RULES
        put('flags', "/^a.*b\$/U first\n/^ A # c\n d/x second\n/^1/A third\n/^\\xc3\\xa4/ bytes\n/./s any\n");
        my @specs = (
            'texthash:plain', 'lmdb:plain', 'cdb:plain', 'regexp:rules', 'pcre:rules', 'pcre:flags', 'cidr:cidr', 'static:{ two words }', 'static:one',
            'inline:{ a=1, { A = 2 }, { b = two words }, { "q r" = quoted } }', 'unionmap:{ texthash:plain, static:more }',
            'pipemap:{ regexp:rules, inline:{ dots=piped, insensitive=again } }', 'environ:x', 'unix:passwd.byname', 'fail:x',
        );
        for my $spec (@specs) {
            my ($type, $file) = $spec =~ /^(\w+):(\w*)/;
            next unless $types =~ /^$type$/m;
            if ($type =~ /^(?:lmdb|cdb)$/) {
                is((theirs('', "$type:plain"))[0], 0, "$type made by Postfix");
            }
            my $input = join '', map { "$_\n" } $type eq 'unix' ? ('root', 'daemon', 'nosuchuser', '') : $type eq 'fail' ? 'a' : @keys;
            my @theirs = theirs($input, '-q', '-', $spec);
            my @ours   = postmap($input, '-q', '-', $spec);
            my $count = () = $theirs[1] =~ /\n/g;
            is_deeply [split /\n/, $ours[1]], [split /\n/, $theirs[1]], "$spec: $count answers";
            is $ours[0], $theirs[0], '... and the exit status';
            if ($type =~ /^(?:lmdb|cdb)$/) {
                is((postmap('', "$type:plain"))[0], 0, "$type made by Gatepost");
                is_deeply [split /\n/, (theirs($input, '-q', '-', $spec))[1]], [split /\n/, $theirs[1]], '... is as good for Postfix';
            }
        }
    };
}

done_testing;
