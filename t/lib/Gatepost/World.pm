package Gatepost::World;

# The same deliveries by Gatepost and by Postfix: users, files and mail are described once; each side runs in a mount namespace of its own, with those
# users in /etc/passwd and its files at the same place, and tells what its log says of each message and which files came of it. Needs root.
#
#   plan skip_all => $_ for grep { defined } Gatepost::World->lacks;
#   my $world = Gatepost::World->new(main_cf => {...}, master_cf => '...', tables => { aliases => '...' });
#   $world->user('ann', '.forward' => "bob\n");
#   $world->mail('ann@local.test');
#   my ($postfix, $gatepost) = $world->both;    # { mail => [text for each message], files => { path => text } }
use strict;
use warnings;
use File::Find qw(find);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Gatepost::Postfix;
use Gatepost::Process qw(slurp spew wait_for);
use JSON::PP qw(decode_json encode_json);
use POSIX ();

use constant { SYS_unshare => 272, CLONE_NEWNS => 0x20000 };

sub lacks {
    return 'no Postfix to compare with, or not root' unless Gatepost::Postfix::installed();
    return 'no mount namespaces here' if system('unshare --mount true 2>/dev/null') != 0;
    return;
}

sub new {
    my ($class, %given) = @_;
    my $self = bless { dir => tempdir('gatepost-world.XXXXXX', TMPDIR => 1, CLEANUP => 1), users => {}, files => [], mail => [], main_cf => {}, tables => {}, master_cf => '', %given }, $class;
    chmod 0755, $self->{dir};
    mkdir "$self->{dir}/world";
    return $self;
}

sub path { my ($self, $name) = @_; return "$self->{dir}/world" . (defined $name ? "/$name" : '') }

# ---- the description ----

# Files of a user's home: name => text, or [text, mode, owner]; a name that ends with "/" is a directory.
sub user {
    my ($self, $name, %files) = @_;
    $self->{users}{$name} //= 3000 + keys %{ $self->{users} };
    $self->file("home/$name/", '', 0755, $name);
    for my $path (sort keys %files) {
        my ($text, $mode, $owner) = ref $files{$path} eq 'ARRAY' ? @{ $files{$path} } : $files{$path};
        $self->file("home/$name/$path", $text, $mode, $owner // $name);
    }
    return $name;
}

sub file {
    my ($self, $path, $text, $mode, $owner) = @_;
    push @{ $self->{files} }, [ $path, $text, $mode, $owner // 'root' ];
}

# More: from, body, and more recipients in one message.
sub mail { my ($self, $to, %more) = @_; push @{ $self->{mail} }, { %more, to => [ ref $to ? @$to : $to ] } }

# ---- one side ----

sub enter {
    my ($self, $name) = @_;
    my $dir = $self->{dir};
    syscall(SYS_unshare, CLONE_NEWNS) == 0 or die "unshare: $!";
    mkdir "$dir/$name";
    my @system = grep { /^[^:]*:[^:]*:(\d+)/ && $1 < 3000 } split /^/, slurp('/etc/passwd');
    spew("$dir/$name.passwd", join '', @system, map { "$_:x:$self->{users}{$_}:$self->{users}{$_}::$dir/world/home/$_:/bin/sh\n" } sort keys %{ $self->{users} });
    for my $mount ([ '--make-rprivate', '/' ], [ '--bind', "$dir/$name", "$dir/world" ], [ '--bind', "$dir/$name.passwd", '/etc/passwd' ]) {
        system('mount', @$mount) == 0 or die "mount @$mount";
    }
}

sub make_files {
    my ($self) = @_;
    make_path($self->path('home'));
    for my $f (@{ $self->{files} }) {
        my ($path, $text, $mode, $owner) = ($self->path($f->[0]), @$f[ 1 .. 3 ]);
        make_path($path =~ s{[^/]*\z}{}r);
        if (ref $text) { symlink($$text, $path) } elsif ($path !~ m{/\z}) { spew($path, $text) }
        my ($uid, $gid) = (getpwnam $owner)[ 2, 3 ];
        next if ref $text;
        chown $uid, $gid, $path;
        chmod $mode // ($path =~ m{/\z} ? 0755 : 0644), $path;
        utime((time - 60) x 2, $path) if $path =~ /\.lock\z/; # whose writer is long gone
    }
}

sub send_all {
    my ($self, $mta) = @_;
    my @ids;
    for my $m (@{ $self->{mail} }) {
        my $chat = $mta->smtp;
        $chat->say('MAIL FROM:<' . ($m->{from} // 'sender@client.test') . '>');
        $chat->say("RCPT TO:<$_>") =~ /^250/ or die "$_: not taken" for @{ $m->{to} };
        $chat->say('DATA');
        my $text = ($m->{body} // "Subject: hello\n\ntext\nFrom here\n.dot\n") =~ s/\n/\r\n/gr =~ s/^\./../gmr;
        my ($id) = $chat->send_raw("$text.\r\n")->reply =~ /queued as (\w+)/ or die "@{ $m->{to} }: no message";
        push @ids, $id;
        $chat->say('QUIT');
    }
    return @ids;
}

# The log by queue id.
sub by_id {
    my ($log) = @_;
    my %lines;
    for my $line (split /\n/, $log) {
        push @{ $lines{$2} }, [ $1, $3 ] if $line =~ m{/(\w+)\[\d+\]: (\w+): (.*)};
    }
    return \%lines;
}

# What has the log of a message: of each recipient, and of the messages that came of it.
sub story {
    my ($by_id, $id, $depth) = @_;
    my @lines;
    for my $line (@{ $by_id->{$id} }) {
        my ($tag, $rest) = @$line;
        if ($rest =~ /^to=/) {
            my ($next) = $rest =~ /forwarded as (\w+)/;
            push @lines, $rest =~ s/ delay=.*? dsn=/ dsn=/r =~ s/forwarded as \w+/forwarded/r =~ s/ conn_use=\d+,//r =~ s/\s*\)\z/)/r =~ s{output: /bin/sh: }{output: sh: }r;
            push @lines, map { "| $_" } story($by_id, $next, $depth + 1) if defined $next && $depth < 8;
        } elsif ($tag eq 'qmgr' && $rest =~ /^(from=<[^>]*>)/) {
            push @lines, $1 if $depth > 0;
        }
    }
    my %seen;
    return grep { /^\|/ || !$seen{$_}++ } sort @lines;
}

sub normal {
    my ($text) = @_;
    $text =~ s/^(.*From .*?  )\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}(?=\s*$)/$1DATE/gm;
    $text =~ s/\bid \w+(?=;?[\s;\a])/id ID/g;
    $text =~ s/\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?: \(\w+\))?/DATE/g;
    $text =~ s/^(Message-Id: <)[^@]*@/$1ID@/gm;
    $text =~ s/\(Postfix\)|\(Gatepost\)/(MTA)/g;
    $text =~ s/"?\b\w+\.\d+\/mx\.gate\.test"?/BOUNDARY/g;
    $text =~ s/^PATH=.*\n//gm;
    $text =~ s{/[\w./]*/gatepost-test\.\w+}{TOP}g;
    return join '', sort split $text =~ /^END$/m ? qr/(?<=\nEND\n)/ : qr/^(?=From )/m, $text; # deliveries go side by side
}

sub look {
    my ($self) = @_;
    my %files;
    find({ no_chdir => 1, wanted => sub {
        my @st = lstat;
        my $name = $_ eq $self->path ? '' : substr $_, 1 + length $self->path;
        return if !length $name;
        my $text = -f _ ? normal(slurp($_)) : -l _ ? 'link' : 'directory';
        $name =~ s{(/(?:new|cur|tmp)/)\d+\.[^/]*\z}{$1MESSAGE};
        push @{ $files{$name} }, sprintf("%s:%s %o\n%s", getpwuid($st[4]) // $st[4], getgrgid($st[5]) // $st[5], $st[2] & 07777, $text);
    } }, $self->path);
    return { map { $_ => join "----\n", sort @{ $files{$_} } } keys %files };
}

sub run_side {
    my ($self, $class, $name) = @_;
    $self->enter($name);
    $self->make_files;
    my $mta = $class->new(main_cf => $self->{main_cf}, master_cf => $self->{master_cf}, files => $self->{tables}, quiet => 1);
    my $conf = $mta->dir . '/conf';
    for my $table (sort keys %{ $self->{tables} }) {
        system($table =~ /alias/ ? 'postalias' : 'postmap', '-c', $conf, "hash:$conf/$table") if $class eq 'Gatepost::Postfix';
    }
    $mta->start;
    my @ids = $self->send_all($mta);
    my $settled = wait_for(sub {
        return if $mta->queued(qw(maildrop incoming active));
        my $by_id = by_id($mta->log);
        return !grep { my $id = $_; !grep { $_->[1] =~ /status=|^removed/ } @{ $by_id->{$id} // [] } } @ids;
    }, 60);
    my $by_id = by_id($mta->log);
    my %out = (mail => [ map { join "\n", story($by_id, $_, 0) } @ids ], files => $self->look, settled => $settled ? 1 : 0);
    spew("$self->{dir}/$name.json", encode_json(\%out));
    $mta->stop;
    undef $mta;
}

sub both {
    my ($self) = @_;
    my @sides = ([ 'Gatepost::Postfix', 'postfix' ], [ 'Gatepost::Test', 'gatepost' ]);
    my @pids;
    for my $side (@sides) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            eval { $self->run_side(@$side); 1 } or print STDERR "# $side->[1]: $@";
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    waitpid $_, 0 for @pids;
    return map { decode_json(slurp("$self->{dir}/$_->[1].json") || '{}') } @sides;
}

1;
