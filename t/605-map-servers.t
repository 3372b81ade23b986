#!/usr/bin/perl
# t/605-map-servers.t - tables that are asked over a connection: tcp: and socketmap: with servers that answer well, badly, late and not at all,
# the same questions asked of Postfix's postmap; redis: with a real Redis.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Postfix;
use Gatepost::Process qw(finish free_port slurp spew wait_port);
use Gatepost::Redis;
use IO::Socket::INET;
use Test::More;

my $sbin = ($ENV{GATEPOST_BUILD} || 'build') . '/sbin';
plan skip_all => "no $sbin/gatepost" unless -x "$sbin/gatepost";
delete @ENV{qw(MAIL_CONFIG GATEPOST_CONFIG)};
my $dir = tempdir('gatepost-map.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/$_" for 'gatepost', 'postfix';
spew("$dir/gatepost/main.cf", "compatibility_level = 3.6\nmail_owner = nobody\n");
spew("$dir/gatepost/master.cf", '');
spew("$dir/postfix/main.cf", "compatibility_level = 3.6\nqueue_directory = $dir\ndata_directory = $dir\n");
my $beside = Gatepost::Postfix::installed();

# A server in a process of its own; converse($io) serves one connection.
sub serve {
    my ($converse) = @_;
    my $port = free_port();
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 20, ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die "fork: $!";
    return ($port, $pid) if $pid;
    while (my $io = $listener->accept) { $converse->($io); close $io }
    POSIX::_exit(0);
}

# What a postmap makes of a key: its status, the value, and whether it says something is wrong.
sub ask {
    my ($who, $map, $key) = @_;
    my @command = $who eq 'postfix' ? ('/usr/sbin/postmap', '-c', "$dir/postfix") : ("$sbin/postmap", '-c', "$dir/gatepost");
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command, '-q', $key, $map or die "sh: $!";
    my $text = do { local $/; <$out> } // '';
    close $out;
    return join ' ', $? >> 8 ? 'none' : 'found', $text =~ /(?:warning|error|fatal|gatepost|postmap): / ? 'trouble' : $text =~ s/\n\z//r;
}

# Postfix tries again after a second, or ten: of what goes wrong, one case is enough.
sub compare {
    my ($what, $map, $key, $want) = @_;
    is ask('gatepost', $map, $key), $want, $what;
    is ask('postfix', $map, $key), $want, "$what, Postfix" if $beside && ($want !~ /trouble/ || $key =~ /later|temp/);
}

subtest 'tcp:' => sub {
    my %answer = (
        ann => '200 a%20value%25%0Aof%20lines', bob => '200 plain', none => '500 not%20here', later => '400 try%20again', empty => '200 ', odd => 'what is this', percent => '200 a%2', hex => '200 a%zz', long => '200 ' . 'x' x 4000,
        'a b%c' => '200 quoted', "\xc3\xa4" => '200 octets', huge => '200 ' . 'x' x 10000, silence => undef, lower => '200 %c3%a4',
    );
    my ($port, $pid) = serve(sub {
        my ($io) = @_;
        while (my $line = <$io>) {
            my ($key) = $line =~ /^get (.*)\n/ or last;
            $key =~ s/%([0-9A-F]{2})/chr hex $1/gie;
            my $said = exists $answer{$key} ? $answer{$key} : '500 unknown';
            last unless defined $said;
            print $io "$said\n";
            $io->flush;
        }
    });
    my $map = "tcp:127.0.0.1:$port";
    compare('a value with blanks, percent and line ends', $map, 'ann', "found a value%\nof lines");
    compare('a value', $map, 'bob', 'found plain');
    compare('500: not there', $map, 'none', 'none ');
    compare('400: trouble', $map, 'later', 'none trouble');
    compare('another code: trouble', $map, 'odd', 'none trouble');
    compare('the key is encoded', $map, 'a b%c', 'found quoted');
    compare('octets beyond ASCII', $map, "\xc3\xa4", 'found octets');
    compare('small hexadecimal digits', $map, 'lower', "found \xc3\xa4");
    compare('a long value', $map, 'long', 'found ' . 'x' x 4000);
    compare('half a code', $map, 'percent', 'none trouble');
    compare('no code', $map, 'hex', 'none trouble');
    compare('a server that hangs up', $map, 'silence', 'none trouble');
    compare('an answer without end', $map, 'huge', 'none trouble');
    finish($pid);
    compare('a server that is gone', $map, 'bob', 'none trouble');
};

subtest 'socketmap:' => sub {
    my %answer = (
        ann => '20:OK value with blanks,', bob => 'OK plain', none => 'NOTFOUND ', bare => 'NOTFOUND', temp => 'TEMP try later', timeout => 'TIMEOUT slow', perm => 'PERM broken', empty => 'OK ', odd => 'MAYBE x', 'a b' => 'OK blank',
        "\xc3\xa4" => "OK \xc3\xa4", long => 'OK ' . 'x' x 50000, huge => 'OK ' . 'x' x 200000, nonumber => 'x:OK a,', nocomma => '4:OK ab', digits => '99999999999:OK', silence => '', short => '50:OK a,',
    );
    my ($port, $pid) = serve(sub {
        my ($io) = @_;
        while (1) {
            my $length = '';
            while ($length !~ /:$/) { read($io, my $c, 1) or return; $length .= $c }
            read $io, my ($question), 1 + $length =~ s/:$//r;
            my ($name, $key) = $question =~ /^(\S+) (.*),\z/s or return;
            my $said = exists $answer{$key} && $name eq 'people' ? $answer{$key} : 'NOTFOUND ';
            $said = length($said) . ":$said," unless $said =~ /^(?:\w+:|$)/;
            print $io $said;
            $io->flush;
            return if $said !~ /,\z/ || $said =~ /^50:|^x/;
        }
    });
    my $map = "socketmap:inet:127.0.0.1:$port:people";
    compare('a value', $map, 'ann', 'found value with blanks');
    compare('another', $map, 'bob', 'found plain');
    compare('NOTFOUND', $map, 'none', 'none ');
    compare('of another map of the server', "socketmap:inet:127.0.0.1:$port:others", 'bob', 'none ');
    compare("$_: trouble", $map, $_, 'none trouble') for qw(temp timeout perm odd);
    compare('a key with a blank', $map, 'a b', 'found blank');
    compare('octets beyond ASCII', $map, "\xc3\xa4", "found \xc3\xa4");
    compare('a long value', $map, 'long', 'found ' . 'x' x 50000);
    compare("$_: trouble", $map, $_, 'none trouble') for qw(huge nonumber nocomma digits silence short);
    finish($pid);
    compare('a server that is gone', $map, 'bob', 'none trouble');
};

subtest 'redis:' => sub {
    my $redis = Gatepost::Redis->new or plan skip_all => 'no redis-server';
    $redis->command('SET', 'alias:ann@far.test', 'smith@far.test');
    $redis->command('SET', 'alias:a b', 'blank');
    $redis->command('SADD', 'list:all', 'one@far.test');
    $redis->command('HSET', 'box', 'ann', '1001');
    $redis->command('SET', 'count', 7);
    my $table = sub {
        my ($name, $query, @more) = @_;
        spew("$dir/$name", join '', map { "$_\n" } 'endpoint = ' . $redis->endpoint, 'timeout = 2', "query = $query", @more);
        return "redis:$dir/$name";
    };
    my $get = $table->('get', 'GET alias:%s');
    is ask('gatepost', $get, 'ann@far.test'), 'found smith@far.test', 'a value';
    is ask('gatepost', $get, 'nobody@far.test'), 'none ', 'nil: not there';
    is ask('gatepost', $get, 'a b'), 'found blank', 'a key is one word of the command, whatever it holds';
    is ask('gatepost', $get, "x\r\nFLUSHALL"), 'none ', 'nor can it be another command';
    is $redis->command('GET', 'count'), 7, 'nothing was flushed';
    is ask('gatepost', $table->('user', 'GET alias:%u@far.test'), 'ann@else.test'), 'found smith@far.test', '%u: the local part';
    is ask('gatepost', $table->('set', 'SMEMBERS list:%s'), 'all'), 'found one@far.test', 'an array';
    is ask('gatepost', $table->('hash', 'HGET box %s'), 'ann'), 'found 1001', 'a field of a hash';
    is ask('gatepost', $table->('number', 'STRLEN %s'), 'count'), 'found 1', 'a number';
    is ask('gatepost', $table->('wrong', 'LRANGE %s 0 -1'), 'count'), 'none trouble', 'an error of the server is trouble, not "not found"';
    is ask('gatepost', $table->('spelt', 'GET %s', 'endpiont = x'), 'count'), 'none trouble', 'a setting that does not exist';
    is ask('gatepost', $table->('empty', ''), 'count'), 'none trouble', 'no query';
    $redis->stop;
    is ask('gatepost', $get, 'ann@far.test'), 'none trouble', 'a server that is gone is trouble, not "not found"';
};
done_testing;
