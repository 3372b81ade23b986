#!/usr/bin/perl
# t/610-databases.t - ldap:, pgsql: and sqlite: tables against real servers: what they answer, also to hostile keys; what happens when a server
# hangs, goes and comes again; a daemon that uses all three; and Postfix's answers to the same questions.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::Databases;
use Gatepost::Process qw(slurp spew wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;
use Time::HiRes qw(time);

my $build = Gatepost::Test::build();
my %module = map { $_ => -e "$build/libexec/gatepost/table-$_.so" } qw(ldap pgsql sqlite);
plan skip_all => 'no database module is built' unless grep { $_ } values %module;
my $dir = File::Temp::tempdir('gatepost-databases.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/postfix";
spew("$dir/postfix/main.cf", "compatibility_level = 3.6\nmaillog_file =\n");
spew("$dir/postfix/master.cf", '');
my $postmap = Gatepost::Databases::program('postmap');
my $types = $postmap ? `postconf -c '$dir/postfix' -m` : '';

# (exit status, output) of gatepost map -q for keys on standard input, or for one.
sub ask {
    my ($spec, @keys) = @_;
    spew("$dir/keys", join '', map { "$_\n" } @keys);
    my $text = `'$build/sbin/gatepost' map -q - '$spec' <'$dir/keys' 2>'$dir/errors'`;
    return ($? >> 8, $text);
}

# What Postfix says to the same keys.
sub same_as_postfix {
    my ($spec, @keys) = @_;
    my ($type) = $spec =~ /^(\w+)/;
    return unless $types =~ /^$type$/m;
    my ($status, $ours) = ask($spec, @keys);
    my $theirs = `postmap -c '$dir/postfix' -q - '$spec' <'$dir/keys' 2>'$dir/errors'`;
    is $ours, $theirs, "$spec: as Postfix says" or diag slurp("$dir/errors");
    is $status, $? >> 8, '... with the same exit status';
}

sub one { my ($spec, $key) = @_; my (undef, $text) = ask($spec, $key); return $text =~ s/^\Q$key\E\t//r =~ s/\n\z//r }
sub error { my ($spec, $key) = @_; my ($status) = ask($spec, $key); return "$status " . slurp("$dir/errors") }

my @hostile = ("x' OR '1'='1", "'; DROP TABLE users; --", "x\\' OR 1=1", '*', '*)(uid=*', 'ann)(|(cn=*', '\\2a', "\xff\xfe", 'a%sb', '%s', "ann\\", '(', 'ann@*',
    "\xc3\xa4nn\@users.test", 'two words@users.test', "o'neil\@users.test", 'o"x@users.test', 'a,b=c@users.test', '#x@users.test', ' lead@users.test');
my @plain = ('ann@users.test', 'ANN@Users.test', 'bob@users.test', 'nobody@users.test', 'ann', '@users.test', 'users.test', 'many@users.test', 'empty@users.test',
    'ann@other.test', 'ann@sub.users.test', '', 'ann@', 'null@users.test');

my @rows = (['ann@users.test', 'ann'], ['bob@users.test', 'bob@store.test'], ['many@users.test', 'one'], ['many@users.test', 'two@three.test'],
    ['many@users.test', 'four'], ["o'neil\@users.test", 'oneil'], ["\xc3\xa4nn\@users.test", 'aenn'], ['empty@users.test', ''], ['ann@other.test', 'other'],
    ['null@users.test', undef]);

sub sql {
    my ($encode) = @_;
    my $quote = sub { return defined $_[0] ? "'" . ($_[0] =~ s/'/''/gr) . "'" : 'NULL' };
    return "CREATE TABLE users (address text, box text, extra text);\n" . join '', map { "INSERT INTO users VALUES (@{[ $quote->($_->[0]) ]}, @{[ $quote->($_->[1]) ]}, NULL);\n" } @rows;
}

# Tests that every SQL table passes. head: connection settings.
sub sql_tables {
    my ($type, $head) = @_;
    my %file = (
        plain  => "query = SELECT box FROM users WHERE address = '%s' ORDER BY box",
        parts  => "query = SELECT box FROM users WHERE address = '%u@%d'",
        labels => "query = SELECT '%1-%2' FROM users WHERE address = '%s'",
        format => "query = SELECT box FROM users WHERE address = '%s'\nresult_format = smtp:[%d] %u %S %U %D %1 %%",
        list   => "query = SELECT box FROM users WHERE address = '%s'\ndomain = users.test, inline:{ third.test=x }",
        limit  => "query = SELECT box FROM users WHERE address = '%s'\nexpansion_limit = 2",
        two    => "query = SELECT address, box FROM users WHERE address = '%s'",
        wrong  => "query = SELECT nothing FROM users WHERE address = '%s'",
        stack  => "query = SELECT box FROM users WHERE address = '%s'; DELETE FROM users",
    );
    spew("$dir/$type-$_", "$head$file{$_}\n") for keys %file;
    is one("$type:$dir/$type-plain", 'ANN@Users.test'), 'ann', 'a row';
    is one("$type:$dir/$type-plain", 'many@users.test'), 'four,one,two@three.test', 'several rows';
    is one("$type:$dir/$type-plain", "o'neil\@users.test"), 'oneil', 'a quote in the key';
    is one("$type:$dir/$type-two", 'ann@users.test'), $type eq 'sqlite' ? 'ann@users.test' : 'ann@users.test,ann', 'several columns';
    is one("$type:$dir/$type-format", 'bob@users.test'), 'smtp:[store.test] bob bob@users.test bob users.test test %', 'result_format';
    is one("$type:$dir/$type-format", 'ann@users.test'), '', '... drops a value without the part';
    is one("$type:$dir/$type-list", 'ann@other.test'), '', 'domain: another one is not asked about';
    is one("$type:$dir/$type-list", 'ann@users.test'), 'ann', '... but this is';
    like error("$type:$dir/$type-limit", 'many@users.test'), qr/^75 .*more than 2 values \(expansion_limit\)/, 'too many rows';
    like error("$type:$dir/$type-wrong", 'ann@users.test'), qr/^75 .*nothing/, 'a wrong query is an error';
    my ($status, $text) = ask("$type:$dir/$type-plain", @hostile);
    is $text, "\xc3\xa4nn\@users.test\taenn\no'neil\@users.test\toneil\n", 'hostile keys are keys';
    ask("$type:$dir/$type-stack", 'ann@users.test');
    is one("$type:$dir/$type-plain", 'ann@users.test'), 'ann', 'one statement is one statement';
    my @text = grep { !/\xff/ && ($type eq 'sqlite' || !/\xc3/) } @hostile; # Postfix 3.7 tells PostgreSQL that all is LATIN1
    same_as_postfix("$type:$dir/$type-$_", @plain, @text) for qw(plain parts labels format list two);
    my @keys = map { $_ % 2 ? "key$_\@users.test" : 'ann@users.test' } 1 .. 500;
    my $lines = () = (ask("$type:$dir/$type-plain", @keys))[1] =~ /\n/g;
    is $lines, 250, '500 questions';
    spew("$dir/bad", "${head}query = x\nqeury = y\n");
    like error("$type:$dir/bad", 'a'), qr{^78 .*$dir/bad:\d+: unknown setting "qeury"}, 'a wrong setting';
    spew("$dir/bad", "${head}table = users\nselect_field = x\n");
    like error("$type:$dir/bad", 'a'), qr{^78 .*$dir/bad:\d+: setting "table" is not supported: write "query = SELECT }, 'the old interface';
    spew("$dir/bad", $head);
    like error("$type:$dir/bad", 'a'), qr{"query = \.\.\." is not set}, 'no query';
    return;
}

my ($slapd, $postgres);
my $certs = Gatepost::Certs->new;
$certs->make('127.0.0.1'); # libldap takes the host's own name for "localhost"

# ---- sqlite ----
SKIP: {
    my $program = Gatepost::Databases::program('sqlite3');
    skip 'no sqlite', 1 unless $module{sqlite} && $program;
    subtest 'sqlite' => sub {
        spew("$dir/sql", sql());
        system("'$program' '$dir/users.db' <'$dir/sql'") == 0 or die 'sqlite3';
        sql_tables('sqlite', "dbpath = $dir/users.db\n");
        spew("$dir/gone", "dbpath = $dir/nowhere.db\nquery = SELECT 1\n");
        like error("sqlite:$dir/gone", 'a'), qr{^75 .*nowhere\.db}, 'no such file: an error, not a miss';
        ok !-e "$dir/nowhere.db", '... and none is made';
        spew("$dir/slow", "dbpath = $dir/users.db\ntimeout = 1\nquery = WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0\n");
        like error("sqlite:$dir/slow", 'a'), qr{^75 .*took too long}, 'a query without end has an end';
    };
}

# ---- PostgreSQL ----
SKIP: {
    $postgres = Gatepost::Databases::Postgres->new(sql => sql()) if $module{pgsql};
    skip 'no PostgreSQL', 1 unless $postgres;
    subtest 'pgsql' => sub {
        my $port = $postgres->port;
        my $head = "hosts = 127.0.0.1:$port\nuser = mta\npassword = pw\ndbname = mail\n";
        sql_tables('pgsql', $head);
        my $query = "query = SELECT box FROM users WHERE address = '%s'\n";
        my %hosts = ('inet:' => "inet:127.0.0.1:$port", 'URL' => "postgresql://mta:pw\@127.0.0.1:$port/mail", 'the next one' => "127.0.0.1:1 127.0.0.1:$port");
        for (sort keys %hosts) {
            spew("$dir/hosts", "hosts = $hosts{$_}\nuser = mta\npassword = pw\ndbname = mail\n$query");
            is one("pgsql:$dir/hosts", 'ann@users.test'), 'ann', "hosts: $_";
        }
        spew("$dir/login", "hosts = 127.0.0.1:$port\nuser = mta\npassword = wrong\ndbname = mail\n$query");
        like error("pgsql:$dir/login", 'ann@users.test'), qr/^75 .*password/, 'a wrong password is an error';
        spew("$dir/slow", "${head}timeout = 1\nquery = SELECT pg_sleep(30)\n");
        my $begin = time;
        like error("pgsql:$dir/slow", 'a'), qr/^75 .*no answer in time/, 'a query without end has an end';
        cmp_ok time - $begin, '<', 15, '... before the server says so';
        spew("$dir/nobody", "hosts = 127.0.0.1:1\nuser = mta\npassword = pw\ndbname = mail\n$query");
        like error("pgsql:$dir/nobody", 'ann@users.test'), qr/^75 .*refused/, 'nobody there is an error';
    };
}

# ---- LDAP ----
my $ldif = join "\n", map { "dn: $_->[0]\n" . join('', map { "$_\n" } @{ $_->[1] }) } (
    ['ou=people,dc=test', ['objectClass: organizationalUnit', 'ou: people']],
    map({ ["uid=$_->[0],ou=people,dc=test", ['objectClass: inetOrgPerson', "uid: $_->[0]", "cn: $_->[0]", "sn: $_->[0]", map({ "mail: $_" } @{ $_->[1] }), map({ "mobile: $_" } @{ $_->[2] // [] })]] }
        ['ann', ['ann@users.test'], ['555']], ['bob', ['bob@users.test', 'robert@users.test']], ['star', ['*@users.test']], ['paren', ['(x)@users.test']]),
    ['cn=team,dc=test', ['objectClass: groupOfNames', 'cn: team', 'member: uid=ann,ou=people,dc=test', 'member: uid=bob,ou=people,dc=test', 'member: uid=gone,dc=test']],
    ['cn=nested,dc=test', ['objectClass: groupOfNames', 'cn: nested', 'member: cn=team,dc=test', 'member: uid=star,ou=people,dc=test']],
    ['cn=loop,dc=test', ['objectClass: groupOfNames', 'cn: loop', 'member: cn=loop,dc=test']],
    ['cn=url,dc=test', ['objectClass: groupOfURLs', 'cn: url', 'memberURL: ldap:///ou=people,dc=test?mail?one?(uid=b*)']],
);
SKIP: {
    my $access = "access to * by dn.exact=cn=admin,dc=test read by anonymous auth by users read\n";
    $slapd = Gatepost::Databases::Slapd->new(ldif => $ldif, certs => $certs, access => $access) if $module{ldap};
    skip 'no slapd', 1 unless $slapd;
    subtest 'ldap' => sub {
        my $port = $slapd->port;
        my $head = "server_host = 127.0.0.1\nserver_port = $port\nversion = 3\nsearch_base = dc=test\nbind = yes\nbind_dn = cn=admin,dc=test\nbind_pw = secret\n";
        my %file = (
            plain    => "query_filter = mail=%s\nresult_attribute = uid",
            mails    => "query_filter = (uid=%s)\nresult_attribute = mail",
            several  => "query_filter = (uid=%s)\nresult_attribute = mail, mobile",
            one      => "query_filter = (uid=%s)\nresult_attribute = mail\nscope = one",
            base     => "query_filter = (objectClass=*)\nresult_attribute = mail\nsearch_base = uid=%s,ou=people,dc=test\nscope = base",
            group    => "query_filter = (cn=%s)\nresult_attribute = mail\nspecial_result_attribute = member, memberURL",
            leaf     => "query_filter = (|(cn=%s)(uid=%s))\nresult_attribute =\nleaf_result_attribute = mail\nspecial_result_attribute = member",
            terminal => "query_filter = (|(cn=%s)(uid=%s))\nresult_attribute = mail\nspecial_result_attribute = member\nterminal_result_attribute = mobile",
            format   => "query_filter = (mail=%s)\nresult_attribute = mail\nresult_format = %u at %d for %U",
            size     => "query_filter = (mail=*)\nresult_attribute = mail\nsize_limit = 2",
            limit    => "query_filter = (mail=*)\nresult_attribute = mail\nexpansion_limit = 2",
            list     => "query_filter = (mail=%s)\nresult_attribute = uid\ndomain = users.test",
            depth    => "query_filter = (cn=%s)\nresult_attribute = mail\nspecial_result_attribute = member\nrecursion_limit = 1",
        );
        spew("$dir/ldap-$_", "$head$file{$_}\n") for keys %file;
        my %want = ('plain ROBERT@users.test' => 'bob', 'mails bob' => 'bob@users.test,robert@users.test', 'several ann' => '555,ann@users.test', 'one ann' => '',
            'base ann' => 'ann@users.test', 'group team' => 'ann@users.test,bob@users.test,robert@users.test',
            'group nested' => '*@users.test,ann@users.test,bob@users.test,robert@users.test', 'group url' => 'bob@users.test,robert@users.test',
            'leaf team' => 'ann@users.test,bob@users.test,robert@users.test', 'terminal team' => '555,bob@users.test,robert@users.test',
            'format ann@users.test' => 'ann at users.test for ann', 'list ann@other.test' => '', 'list ann@users.test' => 'ann', 'plain *@users.test' => 'star',
            'plain (x)@users.test' => 'paren', 'base x,ou=people' => '', 'mails *' => '', 'mails nobody' => '');
        for (sort keys %want) {
            my ($file, $key) = /^(\w+) (.*)$/;
            is join(',', sort split /,/, one("ldap:$dir/ldap-$file", $key)), $want{$_}, $_;
        }
        like error("ldap:$dir/ldap-group", 'loop'), qr/^75 .*recursion_limit.*a loop\?/, 'a group in itself is an error';
        like error("ldap:$dir/ldap-depth", 'nested'), qr/^75 .*recursion_limit/, 'so is one too deep';
        like error("ldap:$dir/ldap-size", 'x'), qr/^75 .*Size limit/i, 'size_limit';
        like error("ldap:$dir/ldap-limit", 'x'), qr/^75 .*expansion_limit/, 'expansion_limit';
        my $wrong = $head =~ s/secret/wrong/r;
        spew("$dir/ldap-login", "${wrong}query_filter = (uid=%s)\n");
        like error("ldap:$dir/ldap-login", 'ann'), qr/^75 .*Invalid credentials/, 'a wrong password is an error';
        spew("$dir/ldap-base", $head =~ s/dc=test/dc=nowhere/r . "query_filter = (uid=%s)\n");
        like error("ldap:$dir/ldap-base", 'ann'), qr/^75 .*No such object/, 'so is a search base that is not there';
        same_as_postfix("ldap:$dir/ldap-$_", @plain, 'bob', 'team', 'nested', grep { !/\xff/ } @hostile) for qw(plain several one group leaf terminal format list);
        my $tls = "${head}start_tls = yes\ntls_require_cert = yes\nquery_filter = (uid=%s)\nresult_attribute = cn\n";
        spew("$dir/ldap-tls", $tls . 'tls_ca_cert_file = ' . $certs->file('ca.crt') . "\n");
        is one("ldap:$dir/ldap-tls", 'ann'), 'ann', 'STARTTLS, verified';
        my $other = Gatepost::Certs->new;
        spew("$dir/ldap-tls", $tls . 'tls_ca_cert_file = ' . $other->file('ca.crt') . "\n");
        like error("ldap:$dir/ldap-tls", 'ann'), qr/^75 .*connect/i, '... and not with a certificate of somebody else';
        spew("$dir/ldap-next", $head =~ s/127\.0\.0\.1\n/ldap:\/\/127.0.0.1:1 ldap:\/\/127.0.0.1:$port\n/r . "query_filter = (uid=%s)\nresult_attribute = cn\n");
        is one("ldap:$dir/ldap-next", 'ann'), 'ann', 'the next server';
    };
}

# ---- a daemon with all of them ----
SKIP: {
    skip 'not all of the servers are there', 1 unless $slapd && $postgres && -e "$dir/users.db";
    spew("$dir/pg.cf", "hosts = 127.0.0.1:@{[ $postgres->port ]}\nuser = mta\npassword = pw\ndbname = mail\ntimeout = 2\nquery = SELECT 'x' FROM users WHERE address = '%s' AND box = 'oneil'\n");
    spew("$dir/ldap.cf", "server_host = 127.0.0.1\nserver_port = @{[ $slapd->port ]}\nbind_dn = cn=admin,dc=test\nbind_pw = secret\nsearch_base = dc=test\ntimeout = 2\nquery_filter = (mail=%s)\nresult_attribute = uid\n");
    spew("$dir/sqlite.cf", "dbpath = $dir/users.db\nquery = SELECT 'x' FROM users WHERE address = '%s' AND box = 'one'\n");
    my $sink = Gatepost::Sink->new;
    my $mta = Gatepost::Test->new(
        sink    => $sink->port,
        main_cf => { relay_domains => 'users.test', relay_recipient_maps => "sqlite:$dir/sqlite.cf, ldap:$dir/ldap.cf, proxy:pgsql:$dir/pg.cf" },
    )->start;
    my $rcpt = sub {
        my $c = Gatepost::Chat->new($mta->port);
        $c->hello;
        $c->say('MAIL FROM:<a@a.test>');
        return $c->say("RCPT TO:<$_[0]>");
    };
    subtest 'daemons' => sub {
        like $rcpt->('many@users.test'), qr/^250/, 'known to sqlite';
        like $rcpt->('robert@users.test'), qr/^250/, 'known to ldap';
        like $rcpt->("o'neil\@users.test"), qr/^250/, 'known to pgsql';
        like $rcpt->('nobody@users.test'), qr/^550 5\.1\.1/, 'known to none of them';
        $postgres->stop->start;
        $slapd->stop->start;
        like $rcpt->("o'neil\@users.test"), qr/^250/, 'pgsql was started anew';
        like $rcpt->('robert@users.test'), qr/^250/, 'ldap was started anew';
        $slapd->stop;
        like $rcpt->('nobody@users.test'), qr/^451 4\.3\./, 'a server that is gone is our trouble';
        like $rcpt->('many@users.test'), qr/^250/, '... but not that of other recipients';
        $slapd->start;
        $slapd->signal('STOP');
        my @waiting = map { my $c = Gatepost::Chat->new($mta->port); $c->hello; $c->say('MAIL FROM:<a@a.test>'); $c->send_raw("RCPT TO:<slow$_\@users.test>\r\n"); $c } 1 .. 8;
        like $rcpt->('many@users.test'), qr/^250/, 'while a server hangs, others are served';
        like $_->reply, qr/^451 4\.3\./, 'who waits for it gets an answer' for @waiting;
        $slapd->signal('CONT');
        ok wait_for(sub { $rcpt->('robert@users.test') =~ /^250/ }), 'and it comes back';
    };
    $mta->stop;
}

done_testing;
