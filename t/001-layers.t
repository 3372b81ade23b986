#!/usr/bin/perl
# t/001-layers.t - the layers: who may include whom, which folder may know which foreign library, and that milters hold no fibers.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die "$top: $!";

my %level = (
    (map { ("lib/$_" => 0) } qw(base driver)),
    (map { ("lib/$_" => 1) } qw(net mail conf)),
    (map { ("lib/$_" => 2) } qw(table queue smtp milter proto mailbox service)),
);
# Siblings that may be included: what is said between processes is what is written to disk.
my %sibling = ('lib/proto lib/queue' => 1);

# Foreign headers, by the folders that may know them.
my %foreign = (
    event2    => [qw(lib/net lib/service)],
    hiredis   => [qw(lib/net milters/common)],
    libmilter => [qw(milters/common)],
    opendkim  => [qw(milters/dkim)],
    openssl   => [qw(lib/net milters/common mta/tools/gatepost)],
    spf2      => [qw(policyd)],
    unbound   => [qw(lib/net milters/common)],
    cdb       => [qw(lib/table)],
    ldap      => [qw(lib/driver)],
    libpq     => [qw(lib/driver)],
    sqlite3   => [qw(lib/driver)],
    lmdb      => [qw(lib/table)],
    pcre2     => [qw(lib/table)],
    idn2      => [qw(lib/net milters/dmarc)],
    libpsl    => [qw(milters/dmarc)],
    seccomp   => [qw(lib/base)],
    zlib      => [qw(mta/tools/gatepost)],
);

# Milters run a thread for each connection: these folders are safe there.
my %for_milters = map { $_ => 1 } qw(lib/base lib/mail lib/conf lib/table milters/common);

my @files;
find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.[ch]\z/ } }, qw(lib mta policyd milters));
cmp_ok scalar @files, '>', 200, 'the tree is there';

# Every include line of the tree: file, folder, what is included, and whether it is ours.
my @includes;
for my $file (sort @files) {
    open my $f, '<', $file or die "$file: $!";
    while (<$f>) {
        push @includes, { file => $file, line => $., folder => dirname($file), name => $2, ours => $1 eq '"' } if /^#\s*include\s+(["<])([^">]+)/;
    }
}

sub complaints {
    my ($judge) = @_;
    return map { my $why = $judge->($_); $why ? "$_->{file}:$_->{line}: $_->{name}: $why" : () } @includes;
}

sub none {
    my ($what, @complaints) = @_;
    is join("\n", @complaints), '', $what;
}

none 'paths start at the top of the tree', complaints(sub {
    my ($i) = @_;
    return $i->{ours} && $i->{name} ne 'config.h' && !-e $i->{name} && 'no such file below the top';
});

none 'an include points to the same folder or a lower level', complaints(sub {
    my ($i) = @_;
    return unless $i->{ours};
    my ($from, $to) = ($i->{folder}, dirname($i->{name}));
    return if $from eq $to || $sibling{"$from $to"};
    return if $from =~ m{^milters/} && $to eq 'milters/common';
    return 'roles do not include each other' unless defined $level{$to};
    return 'points up or sideways' if $level{$to} >= ($level{$from} // 3);
    return;
});

none 'foreign libraries are known where they belong', complaints(sub {
    my ($i) = @_;
    return if $i->{ours};
    my ($library) = $i->{name} =~ m{^([a-z0-9]+)} or return;
    my $places = $foreign{$library} or return;
    return !grep({ $_ eq $i->{folder} } @$places) && "only in @$places";
});

none 'milters use what threads may use', complaints(sub {
    my ($i) = @_;
    return unless $i->{ours} && $i->{folder} =~ m{^milters/};
    my $to = dirname($i->{name});
    return $to ne $i->{folder} && !$for_milters{$to} && 'not for milters';
});

for my $name (qw(arc dkim dmarc)) {
  SKIP: {
        my $milter = ($ENV{GATEPOST_BUILD} || "$top/build") . "/libexec/gatepost/$name";
        skip "no $milter", 1 unless -x $milter;
        my @symbols = `nm '$milter' 2>/dev/null`;
        skip 'no symbols to look at', 1 unless @symbols > 100;
        is join('', grep { / [Tt] (fiber|loop|stream|offload)_/ } @symbols), '', "$name is linked without fibers";
    }
}

done_testing;
